from __future__ import annotations

from dataclasses import astuple, replace

import pytest
from eth_abi.abi import encode
from tests.support.accounts import Account
from tests.support.assertions import reverts
from tests.support.chain import Chain, to_abi
from tests.support.court import Court, ShownTrace, try_result
from tests.support.deep_trace import DeepTrace
from tests.support.scene import Scene, make_model
from tests.support.shown_model import MODEL_ABI, PROGRAM_ABI
from tests.support.system import DISPUTE_PARAMETERS, System

from sworn.codec.trees import keccak
from sworn.model.commitment import ProgramHead, step_leaf
from sworn.model.limits import Limits
from sworn.types import DisputeStatus, Part, Profile, Target

#: What a walk down to one element takes at most, see `contracts/README.md`.
ROUNDS, PICK_S = 14, 60
#: What answers cost their operator at most, as the contract assumes.
ANSWER_GAS = {Part.VALUES: 200_000, Part.NODES: 200_000, Part.CHUNKS: 1_100_000}
PROGRAM_GAS = 1_600_000


def ask(court: Court, target: Target, *, by: Account) -> int:
    """Demands a part; when the answer is due."""
    part, value, level, index = target.part, target.value, target.level, target.index
    receipt = court.demand((part, value, level, index), by=by)
    return receipt.timestamp + court.parameter("discloseSeconds")


def test_walk_down_the_deepest_trace_has_as_many_rounds_as_are_provided_for(system: System) -> None:
    """The largest counts that a trace within limits can have; what the contract enforces is what this walk takes."""
    walk = DeepTrace().walk()

    assert len(walk) == ROUNDS == system.dispute_game.call("ROUNDS")
    assert Limits().max_trace_bytes == DeepTrace.LENGTH
    assert system.dispute_game.call("PICK_SECONDS") == PICK_S
    need = ROUNDS * (DISPUTE_PARAMETERS["discloseSeconds"] + PICK_S)
    assert DISPUTE_PARAMETERS["demandSeconds"] >= need


def test_walker_of_the_last_second_arrives_however_slowly_it_is_answered(
    scene: Scene, challenger: Account, stranger: Account
) -> None:
    """Joined as the window closes, every answer in its last second, every pick as slow as may be: it convicts."""
    deep = DeepTrace()
    court = try_result(scene, trace_root=deep.root)
    court.open(by=challenger)
    closes_at = court.state["closes_at"]
    scene.chain.travel(to=closes_at)
    court.join(by=stranger)
    # Nothing can be demanded later than this walker may have to begin.
    scene.chain.travel(to=closes_at + court.parameter("traceSeconds"))
    until = closes_at + court.parameter("traceSeconds") + court.parameter("demandSeconds")
    pick_s = court.parameter("demandSeconds") // ROUNDS - court.parameter("discloseSeconds")
    assert pick_s >= PICK_S
    for target in deep.walk():
        assert scene.chain.now <= until
        due_at = ask(court, target, by=stranger)
        scene.chain.travel(to=due_at)
        shown = deep.show(target)
        court.disclose((target.part, target.value, target.level, target.index), shown, to=stranger)
        scene.chain.travel(to=due_at + pick_s)
    scene.chain.travel(to=court.ends_at - court.parameter("revealSeconds"))

    court.convict(by=stranger, trace_root=deep.root)

    assert court.state["status"] == DisputeStatus.REFUTED


def test_answers_of_the_deepest_trace_cost_no_more_than_they_earn(scene: Scene, challenger: Account) -> None:
    """Every answer on the way costs at most the gas that its price is made of, before any margin for the base fee."""
    deep = DeepTrace()
    court = try_result(scene, trace_root=deep.root)
    court.open(by=challenger)
    for target in deep.walk():
        ask(court, target, by=challenger)
        wanted = (target.part, target.value, target.level, target.index)
        receipt = court.disclose(wanted, deep.show(target), to=challenger)
        assert receipt.gas_used <= ANSWER_GAS[target.part], (target, receipt.gas_used)


def test_committing_to_a_trace_costs_no_more_than_the_bond_repays(scene: Scene, challenger: Account) -> None:
    """Also with as many roots as fit: an upheld operator gets 70 % of 1.5 times 200,000 gas."""
    court = try_result(scene)
    court.open(by=challenger)

    receipt = court.commit_trace(ShownTrace([bytes([k]) for k in range(64)]), inline=True)

    assert receipt.gas_used <= 200_000


def test_showing_the_longest_step_costs_no_more_than_it_earns(scene: Scene, challenger: Account) -> None:
    """A step of 24,576 bytes, none of them zero, deep in a program."""
    step, siblings = b"\xff" * Limits().max_step_bytes, [b"\xee" * 32] * 32
    tree = step_leaf(step)
    for sibling in siblings:
        tree = keccak(b"\x01" + tree + sibling)
    head = ProgramHead(inputs=1, steps=2**32 - 1, interface_hash=b"\xdd" * 32)
    model = replace(make_model(Profile.EXACT), program_root=head.root(tree))
    receipt = scene.system.model_registry.send("register", model, by=challenger)
    court = try_result(scene, model_id=receipt.returned)
    court.open(by=challenger)
    court.commit_trace(ShownTrace([b"\x01"]))
    program = (head.inputs, head.steps, head.interface_hash, tree, step, siblings)
    court.demand((Part.STEPS, 0, 0, 0), by=challenger)

    shown = encode([MODEL_ABI, PROGRAM_ABI], [astuple(model), program])
    receipt = court.disclose((Part.STEPS, 0, 0, 0), shown, to=challenger)

    assert receipt.gas_used <= PROGRAM_GAS


@pytest.mark.parametrize("short_s", [1, 3600])
def test_demand_phase_too_short_for_a_walk_cannot_be_deployed(
    chain: Chain, system: System, deployer: Account, short_s: int
) -> None:
    """A second less than rounds times showing and picking, and a liar could outwait its last walker."""
    need = ROUNDS * (DISPUTE_PARAMETERS["discloseSeconds"] + PICK_S)
    parties = (system.oracle, system.operator_registry, system.model_registry, system.signed_results)
    addresses = [to_abi(party) for party in (*parties, system.referee, system.trace_verifier)]
    enough = {**DISPUTE_PARAMETERS, "demandSeconds": need}
    short = {**DISPUTE_PARAMETERS, "demandSeconds": need - short_s}

    with reverts("DemandPhaseTooShort", demand_seconds=need - short_s, minimum=need):
        chain.deploy("DisputeGame", *addresses, tuple(short.values()), by=deployer)
    chain.deploy("DisputeGame", *addresses, tuple(enough.values()), by=deployer)
