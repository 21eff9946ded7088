"""The whole game over one lie: asked, answered, challenged, proved to the real referee, convicted and slashed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from tests.support.accounts import Account, funded_accounts
from tests.support.assertions import assert_emitted, reverts
from tests.support.chain import Chain, TransactionReceipt
from tests.support.court import SALT, Court
from tests.support.lies_planted import Place
from tests.support.referee_chain import RULES
from tests.support.scene import Scene, set_scene
from tests.support.system import deploy_system

from sworn.codec.tensors import encode_tensors
from sworn.referee import FaultKind, encode_proof
from sworn.types import ZERO_HASH, Answer, DisputeStatus, Profile, Status
from sworn.verification import CompiledModel, Trace
from sworn.verification.proving import prove

#: Where the payload of an input lies that is too large for a transaction.
_ELSEWHERE: Final = b"\0https://inputs.example/payload"
_MAX_INLINE: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Conviction:
    """What convicting one lie took."""

    proof: bytes
    #: Of the transaction with the proof.
    receipt: TransactionReceipt
    #: Gas of everything from the challenge to the proof.
    total_gas: int
    slashed_wei: int


def open_courthouse(chain: Chain, deployer: Account) -> Scene:
    """Everything deployed with the real referee behind the game."""
    referee = chain.deploy("Referee", *(chain.deploy(rule, by=deployer) for rule in RULES), by=deployer)
    return set_scene(deploy_system(chain, deployer=deployer, referee=referee), funded_accounts())


@contextmanager
def session(courthouse: Scene, model: CompiledModel) -> Iterator[Scene]:
    """The courthouse as it was opened, with the model registered; whatever happens there is undone."""
    mark = courthouse.chain.snapshot()
    scene = Scene(system=courthouse.system, cast=courthouse.cast)
    scene.system.model_registry.send("register", model.model, by=scene.cast.stranger)
    yield scene
    courthouse.chain.restore(mark)


def accused(scene: Scene, model: CompiledModel, trace: Trace) -> tuple[Court, list[TransactionReceipt]]:
    """The operator has answered with the outputs of a trace, is challenged, and stands by that trace."""
    request = scene.make_request(model_id=model.model_id, input_root=trace.input_root)
    scene.send_request(request, payload=_ELSEWHERE)
    exact = model.model.profile is Profile.EXACT
    output = encode_tensors(trace.outputs, model.schema.outputs)
    answer = Answer(operator=scene.cast.operator.address, trace_root=ZERO_HASH if exact else trace.root, output=output)
    scene.propose(request, answer)
    court = Court(scene=scene, result=scene.result_of(request, answer), request=request)
    assert court.result.output_root == trace.output_root
    receipts = [court.open(by=scene.cast.challenger)]
    if exact:
        receipts.append(_commit(court, trace))
    return court, receipts


def _commit(court: Court, trace: Trace) -> TransactionReceipt:
    relayer, signature = court.scene.cast.stranger, court.sworn_with(trace.root)
    if len(trace.data_roots) <= _MAX_INLINE:
        roots = (court.result, list(trace.data_roots), signature)
        return court.game.send("commitTraceRoots", *roots, by=relayer)
    return court.game.send("commitTrace", court.result, trace.root, signature, by=relayer)


def convict(scene: Scene, model: CompiledModel, lie: Trace, place: Place) -> Conviction:
    """Plays the whole game and asserts its end: the fault named by an event, the request refuted, the stake taken."""
    challenger, operator = scene.cast.challenger, scene.cast.operator
    court, receipts = accused(scene, model, lie)
    before = scene.account_of(operator)
    receipts.append(court.commit_fault(by=challenger, kind=FaultKind.ELEMENT, value=place.value, index=place.index))
    court.ripen()
    proof = encode_proof(prove(lie, kind=FaultKind.ELEMENT, value=place.value, index=place.index))
    receipts.append(court.prove(by=challenger, trace_root=lie.root, proof=proof, salt=SALT))
    assert_emitted(
        receipts[-1],
        "FaultProven",
        result_id=court.result_id,
        operator=operator,
        prover=challenger,
        kind=FaultKind.ELEMENT,
        value=place.value,
        index=place.index,
    )
    slashed = before.stake_wei - scene.account_of(operator).stake_wei
    assert slashed == scene.system.oracle.call("bondFor", court.request.value_at_risk_wei) > 0
    assert court.state["status"] == DisputeStatus.REFUTED
    assert scene.state_of(court.request).status is Status.REFUTED
    total = sum(receipt.gas_used for receipt in receipts)
    return Conviction(proof=proof, receipt=receipts[-1], total_gas=total, slashed_wei=slashed)


def acquit(scene: Scene, model: CompiledModel, truth: Trace, place: Place) -> None:
    """Plays the game over an element that is right, and asserts that its proof shows nothing."""
    challenger = scene.cast.challenger
    court, _ = accused(scene, model, truth)
    before = scene.account_of(scene.cast.operator)
    court.commit_fault(by=challenger, kind=FaultKind.ELEMENT, value=place.value, index=place.index)
    court.ripen()
    proof = encode_proof(prove(truth, kind=FaultKind.ELEMENT, value=place.value, index=place.index))
    with reverts("FaultNotShown", result_id=court.result_id):
        court.prove(by=challenger, trace_root=truth.root, proof=proof, salt=SALT)
    assert scene.account_of(scene.cast.operator) == before
    assert court.state["status"] == DisputeStatus.OPEN
