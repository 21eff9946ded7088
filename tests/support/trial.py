"""Whole disputes about one element of a real model's run, before the real referee."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tests.support.accounts import funded_account, funded_accounts
from tests.support.chain import Chain, TransactionReceipt
from tests.support.court import Court
from tests.support.referee_chain import RULES
from tests.support.scene import Scene, set_scene
from tests.support.system import deploy_system

from sworn.codec.tensors import encode_tensors
from sworn.referee import FaultKind, FaultProof, encode_proof
from sworn.types import ZERO_HASH, Answer, Profile, Tensors
from sworn.verification import CompiledModel, Trace
from sworn.verification.proving import prove

#: As many data roots an operator may commit in one transaction; of a longer trace it commits the root alone.
MAX_INLINE_ROOTS = 64


def open_courtroom(chain: Chain) -> Scene:
    """A deployment with the real referee, and its people."""
    deployer = funded_account(0)
    referee = chain.deploy("Referee", *(chain.deploy(rule, by=deployer) for rule in RULES), by=deployer)
    return set_scene(deploy_system(chain, deployer=deployer, referee=referee), funded_accounts())


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One false result of a real model, and how its challenger convicts."""

    court: Court
    lie: Trace
    proof: FaultProof

    def play(self) -> Mapping[str, TransactionReceipt]:
        """The transactions from the challenge until the challenger's money is credited, by move."""
        court, challenger = self.court, self.court.scene.cast.challenger
        receipts = {"challenge": court.open(by=challenger)}
        if court.result.trace_root == ZERO_HASH:
            receipts["commit_trace"] = self._commit_trace()
        fault = {"kind": self.proof.kind, "value": self.proof.value, "index": self.proof.index}
        receipts["commit_fault"] = court.commit_fault(by=challenger, **fault)
        court.ripen()
        proof = encode_proof(self.proof)
        receipts["prove_fault"] = court.prove(by=challenger, trace_root=self.lie.root, proof=proof)
        court.settle()
        receipts["claim"] = court.claim(challenger)
        return receipts

    def _commit_trace(self) -> TransactionReceipt:
        court, lie = self.court, self.lie
        signature, by = court.sworn_with(lie.root), court.scene.cast.stranger
        if len(lie.data_roots) > MAX_INLINE_ROOTS:
            return court.game.send("commitTrace", court.result, lie.root, signature, by=by)
        return court.game.send("commitTraceRoots", court.result, list(lie.data_roots), signature, by=by)


def bring(scene: Scene, model: CompiledModel, inputs: Tensors, lie: Trace, *, value: int, index: int) -> Trial:
    """The operator answers a request with a false run; ``value`` and ``index`` say where it is false.

    In profile ``bounded`` the answer carries the trace's root.
    """
    scene.system.model_registry.send("register", model.model, by=scene.cast.stranger)
    request = scene.make_request(model_id=model.model_id, input_root=lie.input_root)
    scene.send_request(request, payload=encode_tensors(inputs, model.schema.inputs))
    answer = Answer(
        operator=scene.cast.operator.address,
        trace_root=lie.root if model.model.profile is Profile.BOUNDED else ZERO_HASH,
        output=encode_tensors(lie.outputs, model.schema.outputs),
    )
    scene.propose(request, answer)
    court = Court(scene=scene, result=scene.result_of(request, answer), request=request)
    return Trial(court=court, lie=lie, proof=prove(lie, kind=FaultKind.ELEMENT, value=value, index=index))


def falsified(trace: Trace, *, value: int, index: int, bits: int) -> Trace:
    """The run with other bits in one element, under roots of its own."""
    changed = trace.values[value].copy()
    changed.reshape(-1)[index : index + 1].view(f"u{changed.itemsize}")[0] = bits
    return Trace.of(trace.subject, [changed if number == value else each for number, each in enumerate(trace.values)])
