from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from random import Random
from typing import Any

import pytest
from eth_account import Account
from eth_utils.address import to_checksum_address
from tests.support.accounts import funded_account
from tests.support.anvil_node import AnvilNode, find_anvil
from tests.support.faulty_rpc import Faults, FaultyRpc
from tests.support.node import Message

from sworn.chain.endpoints import FailoverGateway
from sworn.chain.endpoints_health import Rests
from sworn.chain.endpoints_node import Endpoint
from sworn.chain.endpoints_policy import FailoverPolicy
from sworn.chain.follower import BlockId, LogFollower
from sworn.chain.gateway import Call, Log
from sworn.chain.web3_gateway import Web3Gateway, connect_gateway
from sworn.errors import ChainError, RateLimited, TransientChainError
from sworn.types import Address

pytestmark = pytest.mark.anvil

TOPIC = b"\x01" * 32
#: Emits its calldata under the topic.
RUNTIME = bytes.fromhex("3660006000377f") + TOPIC + bytes.fromhex("366000a100")
CREATION = bytes.fromhex(f"60{len(RUNTIME):02x}600c60003960{len(RUNTIME):02x}6000f3") + RUNTIME
ME = funded_account(0)


class World:
    """anvil with a contract that emits events, and proxies in front of it."""

    def __init__(self, anvil: AnvilNode, contract: Address, proxies: list[FaultyRpc]) -> None:
        self.anvil = anvil
        self.contract = contract
        self.proxies = proxies
        self.direct: Web3Gateway = connect_gateway(anvil.url)

    def rpc(self, method: str, *params: Any) -> Any:
        """Asks anvil itself."""
        return self.anvil._rpc(method, *params)

    def emit(self, data: bytes) -> None:
        """One event in one block."""
        message = Message(sender=ME.address, to=self.contract, data=data, gas=100_000)
        self.anvil.send(message, timestamp=self.anvil.latest_time() + 1)

    def over(self, count: int, **policy: Any) -> FailoverGateway:
        """A gateway over so many of the proxies, in a hurry."""
        rests = Rests(first_s=0.05, longest_s=0.2, first_ban_s=0.1, longest_ban_s=0.4)
        return FailoverGateway(
            [
                Endpoint(connect_gateway(proxy.url, timeout_s=0.5), name=f"node{index}", chain_id=31337, rests=rests)
                for index, proxy in enumerate(self.proxies[:count])
            ],
            policy=FailoverPolicy(patience_s=1.0, return_after_s=0.2, wait_s=0.3, **policy),
        )

    def standing(self) -> list[Log]:
        """Every event, as anvil itself has it."""
        return self.direct.logs(
            addresses=[self.contract], topics=[TOPIC], from_block=0, to_block=self.direct.block("latest").number
        )


@pytest.fixture(scope="module")
def anvil() -> Iterator[AnvilNode]:
    """A chain of this file's own: reorganisations are not undone by a snapshot."""
    binary = find_anvil()
    if binary is None:
        pytest.skip("no anvil: npm ci brings it")
    node = AnvilNode(binary)
    yield node
    node.close()


@pytest.fixture
def world(anvil: AnvilNode) -> Iterator[World]:
    """The contract, newly deployed, behind three proxies."""
    creation = Message(sender=ME.address, to=None, data=CREATION, gas=500_000)
    nonce = anvil.nonce(ME.address)
    anvil.send(creation, timestamp=anvil.latest_time() + 1)
    receipt = anvil._rpc("eth_getBlockByNumber", "latest", True)["transactions"][0]
    contract = Address(to_checksum_address(anvil._rpc("eth_getTransactionReceipt", receipt["hash"])["contractAddress"]))
    assert anvil.nonce(ME.address) == nonce + 1
    with ExitStack() as closing:
        proxies = [closing.enter_context(FaultyRpc(anvil.url, seed=seed)) for seed in range(3)]
        yield World(anvil, contract, proxies)


class Reader:
    """Follows the contract and keeps what stands."""

    def __init__(self, world: World, gateway: FailoverGateway) -> None:
        start = world.direct.block("latest").number
        self.follower = LogFollower(
            gateway=gateway, addresses=(world.contract,), topics=(TOPIC,), start_block=start, max_range=50
        )
        self.history: tuple[BlockId, ...] = ()
        self.logs: list[Log] = []
        self.troubles = 0

    def step(self) -> bool:
        """One step; whether it has caught up."""
        try:
            step = self.follower.step(self.history)
        except ChainError:
            self.troubles += 1
            return False
        if step.rewound_to is not None:
            self.logs = [log for log in self.logs if log.block_number <= (step.rewound_to or 0)]
        self.logs.extend(step.logs)
        self.history = step.history
        return step.caught_up

    def settle(self) -> None:
        """Steps until it has caught up."""
        for _ in range(100):
            if self.step():
                return
            time.sleep(0.05)
        raise AssertionError("the follower never caught up")


def _live(world: World, reader: Reader, random: Random, rounds: int) -> None:
    """Blocks, events, reorganisations and steps."""
    for number in range(rounds):
        world.emit(number.to_bytes(2, "big"))
        if number % 7 == 6:
            world.rpc("anvil_reorg", random.randint(1, 4), [])
        for _ in range(2):
            reader.step()


@pytest.mark.parametrize("rounds", [8, pytest.param(60, marks=pytest.mark.slow)])
def test_follower_through_bad_weather_reads_the_final_chain(world: World, rounds: int) -> None:
    """Lost, late, repeated and refused answers of real connections cost time and nothing else."""
    reader = Reader(world, world.over(2))
    for proxy in world.proxies:
        proxy.faults = Faults(
            drop=0.05, drop_answer=0.05, duplicate=0.1, limited=0.05, retry_after_s=0.1, unavailable=0.05, garbage=0.05,
            repeated_logs=0.3, max_log_range=9,
        )  # fmt: skip
    _live(world, reader, Random(1), rounds)
    for proxy in world.proxies:
        proxy.faults = Faults()
    reader.settle()
    assert reader.logs == world.standing()
    assert len(reader.logs) >= rounds // 2
    assert sum(proxy.counts["duplicate"] + proxy.counts["drop_answer"] for proxy in world.proxies[:2])


@pytest.mark.parametrize(
    "lie",
    [
        pytest.param(Faults(omitted_logs=0.5), id="omits logs"),
        pytest.param(Faults(wrong_hash=0.3), id="wrong hashes", marks=pytest.mark.slow),
        pytest.param(Faults(ahead=500), id="made-up head", marks=pytest.mark.slow),
        pytest.param(Faults(moved_logs=0.5), id="logs of other blocks", marks=pytest.mark.slow),
        pytest.param(Faults(stale_logs=3), id="logs come late", marks=pytest.mark.slow),
        pytest.param(Faults(lag=3), id="three blocks late", marks=pytest.mark.slow),
    ],
)
def test_follower_with_one_lying_node_of_three_reads_the_final_chain(world: World, lie: Faults) -> None:
    """Two honest nodes carry the day, whichever place the liar has."""
    reader = Reader(world, world.over(3, quorum=2))
    world.proxies[0].faults = lie
    _live(world, reader, Random(2), 8)
    reader.settle()
    assert reader.logs == world.standing()


def test_gateway_obeys_retry_after_of_a_real_node(world: World) -> None:
    """Within the time that a provider asked for, not one request reaches it."""
    gateway = world.over(1)
    gateway.block("latest")
    world.proxies[0].faults = Faults(limited=1.0, retry_after_s=1)
    with pytest.raises(RateLimited):
        gateway.block("latest")
    world.proxies[0].faults = Faults()
    asked = world.proxies[0].counts.total()
    with pytest.raises(TransientChainError):
        gateway.block("latest")
    assert world.proxies[0].counts.total() == asked
    time.sleep(1.1)
    gateway.block("latest")


def test_gateway_batches_through_bad_weather_never_mix_answers(world: World) -> None:
    """An answer that is lost or repeated within a batch must not become that of another question."""
    gateway = world.over(2)
    gateway.block("latest")
    #: The identity precompile gives back what it gets.
    identity = Address("0x0000000000000000000000000000000000000004")
    calls = [Call(to=identity, data=number.to_bytes(2, "big")) for number in range(12)]
    for faults in (Faults(omitted_answers=0.1, duplicate=0.1), Faults(refuses_batches=True), Faults(max_batch=7)):
        for proxy in world.proxies:
            proxy.faults = faults
        right = 0
        for _ in range(3):
            try:
                answers = gateway.calls(calls)
            except TransientChainError:
                time.sleep(0.2)
                continue
            given = [
                (answer, call.data) for answer, call in zip(answers, calls, strict=True) if isinstance(answer, bytes)
            ]
            assert all(answer == asked for answer, asked in given)
            right += len(given)
        assert right or faults.omitted_answers


def test_gateway_transaction_that_a_node_swallows_arrives_by_another(world: World) -> None:
    """A node that takes transactions and forgets them does not hold up the key that sends them."""
    gateway = world.over(2)
    gateway.block("latest")
    world.proxies[0].faults = Faults(swallowed=1.0)
    terms = {"nonce": gateway.nonce(ME.address), "gas": 100_000, "maxFeePerGas": 10**11, "maxPriorityFeePerGas": 1}
    signed = Account.sign_transaction(
        {**terms, "to": world.contract, "value": 0, "data": b"", "chainId": 31337, "type": 2}, ME.key
    )
    sent = gateway.send_raw(bytes(signed.raw_transaction))
    assert sent == bytes(signed.hash)
    until = time.monotonic() + 10
    while world.direct.receipt(sent) is None:
        assert time.monotonic() < until, "it never arrived"
        time.sleep(0.05)
    assert world.proxies[0].counts["swallowed"] == 1


def test_gateway_primary_that_hangs_does_not_stop_the_turn(world: World) -> None:
    """A node that takes connections and never answers costs a wait, not the daemon."""
    gateway = world.over(2)
    gateway.block("latest")
    world.proxies[0].faults = Faults(hang=1.0, hang_s=3)
    begun = time.monotonic()
    for _ in range(5):
        gateway.block("latest")
        gateway.nonce(ME.address)
    assert time.monotonic() - begun < 5
    assert gateway.circle.chosen is gateway.circle.endpoints[1]
