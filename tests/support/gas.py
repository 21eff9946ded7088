"""Gas of the moves that users pay for: whole transactions, in a steady state.

Input tensors of 128 bytes, output tensors of 64. Everything is done once before it is measured, so that accounts,
balances and the consumer's word are non-zero already.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from tests.support.accounts import funded_account, funded_accounts
from tests.support.chain import Chain, Contract, TransactionReceipt
from tests.support.node import Node
from tests.support.scene import FEE_WEI, INPUT, OFFER, Scene, make_model, make_output, set_scene
from tests.support.system import ETHER, deploy_system

from sworn.types import Answer, Profile, Request

BATCH = 50
_BASE_GAS = 21_000


@dataclass(frozen=True, slots=True, kw_only=True)
class GasCost:
    """One transaction, or its share of a batch."""

    #: As the chain charges it; the calldata floor of EIP-7623 (40 gas for a non-zero byte, 10 for a zero) included.
    gas_used: int
    calldata_bytes: int
    #: The least that the calldata costs under EIP-7623.
    floor_40: int
    #: The same under the draft EIP-7976, 64 gas for every byte; the larger of this and `gas_used` counts.
    floor_64: int


def measure_gas(node: Node) -> Mapping[str, GasCost]:
    """Plays every move on a fresh chain, twice, and takes the second."""
    scene = set_scene(deploy_system(Chain(node), deployer=funded_account(0)), funded_accounts())
    workload = _Workload(scene)
    return {**{name: workload.measure(move) for name, move in workload.moves().items()}, **workload.batches()}


class _Workload:
    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._consumer = self._deploy_consumer()
        self._round = 0
        # More than any batch locks.
        arguments = ("addStake", scene.cast.operator)
        scene.system.operator_registry.send(*arguments, by=scene.cast.stranger, value_wei=100 * ETHER)

    def moves(self) -> Mapping[str, Callable[[], TransactionReceipt]]:
        return {
            "request": self._request,
            "request_consumer": lambda: self._request_consumer(self._make_request()),
            "propose": self._propose,
            "finalize_callback": self._finalize,
            "expire": lambda: self._scene.expire(self._scene.ask()),
            "fail": lambda: self._scene.fail(self._asked()),
            "withdraw": self._withdraw,
            "withdraw_earnings": self._withdraw_earnings,
            "register_model": self._register_model,
            "set_offer": self._set_offer,
            "use_signed_result": self._use,
            "prove_equivocation": self._convict,
        }

    def measure(self, move: Callable[[], TransactionReceipt]) -> GasCost:
        move()
        self._round += 1
        return cost_of(move())

    def batches(self) -> Mapping[str, GasCost]:
        return {
            "propose_batch50_each": cost_of(self._propose_many(self._asked_many()), share=BATCH),
            "finalize_batch50_each": cost_of(self._finalize_many(self._asked_many()), share=BATCH),
            "finalize_batch50_consumers_each": cost_of(self._finalize_many(self._asked_by_many()), share=BATCH),
        }

    def _deploy_consumer(self) -> Contract:
        oracle, cast = self._scene.system.oracle, self._scene.cast
        arguments = (oracle, cast.models[Profile.EXACT], cast.operator)
        return self._scene.chain.deploy("BenchConsumer", *arguments, by=funded_account(0))

    def _make_request(self) -> Request:
        return self._scene.make_request(requester=self._consumer.address, callback_gas=100_000)

    def _request_consumer(self, request: Request) -> TransactionReceipt:
        arguments = (request.input_root, request.deadline, request.salt, INPUT)
        return self._consumer.send("ask", *arguments, by=self._scene.cast.requester, value_wei=FEE_WEI)

    def _asked(self) -> Request:
        request = self._make_request()
        self._request_consumer(request)
        return request

    def _asked_many(self) -> list[Request]:
        return [self._asked() for _ in range(BATCH)]

    def _asked_by_many(self) -> list[Request]:
        requests = []
        for _ in range(BATCH):
            self._consumer = self._deploy_consumer()
            requests.append(self._asked())
        return requests

    def _request(self) -> TransactionReceipt:
        return self._scene.send_request(self._scene.make_request())

    def _propose(self) -> TransactionReceipt:
        return self._scene.propose(self._asked())

    def _answer(self) -> Answer:
        return self._scene.make_answer(1.0 + self._round)

    def _finalize(self) -> TransactionReceipt:
        return self._scene.complete(self._asked(), self._answer())

    def _propose_many(self, requests: list[Request]) -> TransactionReceipt:
        answers = [self._scene.make_answer(float(index + 1)) for index in range(len(requests))]
        signatures = [self._scene.sign_result(*pair) for pair in zip(requests, answers, strict=True)]
        return self._scene.system.oracle.send(
            "proposeMany", requests, answers, signatures, by=self._scene.cast.stranger
        )

    def _finalize_many(self, requests: list[Request]) -> TransactionReceipt:
        self._propose_many(requests)
        self._scene.close_window(requests[-1])
        answers = [self._scene.make_answer(float(index + 1)) for index in range(len(requests))]
        return self._scene.system.oracle.send("finalizeMany", requests, answers, by=self._scene.cast.stranger)

    def _withdraw(self) -> TransactionReceipt:
        self._scene.expire(self._scene.ask())
        return self._scene.system.oracle.send("withdraw", by=self._scene.cast.requester)

    def _withdraw_earnings(self) -> TransactionReceipt:
        self._finalize()
        operator = self._scene.cast.operator
        return self._scene.system.operator_registry.send("withdrawEarnings", operator, by=operator)

    def _register_model(self) -> TransactionReceipt:
        model = make_model(Profile.EXACT, tag=100 + self._round)
        return self._scene.system.model_registry.send("register", model, by=funded_account(5))

    def _set_offer(self) -> TransactionReceipt:
        offer = replace(OFFER, price_wei=FEE_WEI + self._round)
        model_id = self._scene.cast.models[Profile.EXACT]
        return self._scene.system.operator_registry.send("setOffer", model_id, offer, by=self._scene.cast.operator)

    def _use(self) -> TransactionReceipt:
        scene, value = self._scene, 1.0 + self._round
        result = scene.make_offchain_result(value)
        arguments = (scene.system.signed_results, result, make_output(value), scene.sign(result))
        return self._consumer.send("useResult", *arguments, by=scene.cast.requester)

    def _convict(self) -> TransactionReceipt:
        request = self._asked()
        self._scene.propose(request)
        return self._scene.convict_over(request, self._scene.make_answer(1.0), self._scene.make_answer(2.0))


def cost_of(receipt: TransactionReceipt, *, share: int = 1) -> GasCost:
    """What a transaction cost, or its share of a batch."""
    data = receipt.calldata
    tokens = data.count(0) + 4 * (len(data) - data.count(0))
    return GasCost(
        gas_used=receipt.gas_used // share,
        calldata_bytes=len(data) // share,
        floor_40=(_BASE_GAS + 10 * tokens) // share,
        floor_64=(_BASE_GAS + 64 * len(data)) // share,
    )
