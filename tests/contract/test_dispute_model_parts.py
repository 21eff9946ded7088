from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.support.accounts import Account
from tests.support.assertions import assert_emitted, reverts
from tests.support.court import Court, ShownTrace, Target, try_result
from tests.support.scene import Scene
from tests.support.shown_model import ShownModel

import sworn
from sworn.testing import gallery
from sworn.types import DisputeStatus, Part

TRACE = ShownTrace([b"\x01" * 128, b"\x02" * 64])
STEP, INTERFACE = (Part.STEPS, 0, 0, 3), (Part.INTERFACE, 0, 0, 0)
#: Of the gallery's mlp: two layers, 17 steps; weight 0 has more than one chunk.
TARGETS: list[Target] = [
    (Part.WEIGHTS, 0, 2, 0),
    (Part.WEIGHTS, 0, 0, 1),
    (Part.WEIGHT_NODES, 0, 1, 0),
    (Part.WEIGHT_CHUNKS, 0, 0, 0),
    STEP,
    (Part.STEPS, 0, 0, 16),
    INTERFACE,
]
ABSENT: list[Target] = [
    (Part.WEIGHTS, 0, 0, 2**32 - 1),
    (Part.WEIGHT_CHUNKS, 2**32 - 1, 0, 0),
    (Part.STEPS, 0, 0, 2**32 - 1),
]


@pytest.fixture(scope="module")
def shown() -> ShownModel:
    """A model whose steps and weights can be shown."""
    return ShownModel(sworn.compile_model(gallery.load("mlp")))


@pytest.fixture
def court(scene: Scene, shown: ShownModel, challenger: Account) -> Court:
    """A challenged result of that model, with a trace."""
    scene.system.model_registry.send("register", shown.compiled.model, by=challenger)
    court = try_result(scene, model_id=shown.compiled.model_id)
    court.open(by=challenger)
    court.commit_trace(TRACE)
    return court


@pytest.mark.parametrize("target", TARGETS + ABSENT)
def test_part_of_model_that_is_shown_answers(
    court: Court, shown: ShownModel, challenger: Account, operator: Account, target: Target
) -> None:
    """Whoever cannot get the artifact buys program and weights from the operator, checked against the model's id."""
    price = court.price(target[0])
    court.demand(target, by=challenger)

    receipt = court.disclose(target, shown.show(target), to=challenger)

    assert_emitted(receipt, "Disclosed", challenger=challenger, disclosure=shown.show(target))
    assert court.reward_of(operator) == price
    assert court.state["open_demands"] == 0


@pytest.mark.parametrize("target", TARGETS)
def test_part_of_another_model_is_no_answer(
    court: Court, shown: ShownModel, challenger: Account, target: Target
) -> None:
    """Neither another model's record nor other bytes lead to the id that was sworn to."""
    court.demand(target, by=challenger)
    forgeries: list[dict[str, Any]] = [{"model": replace(shown.compiled.model, io_hash=bytes(32))}]
    if target[0] in (Part.STEPS, Part.INTERFACE):
        forgeries += [{"content": b"\x00" * 64}, {"steps": 18}, {"inputs": 2}]
    else:
        forgeries += [{"values": 9}, {"values_tree": b"\x01" * 32}, {"siblings": (b"\x01" * 32,) * 9}]
    if target[0] is Part.STEPS:
        forgeries += [{"siblings": []}]

    for forgery in forgeries:
        with reverts("DisclosureMismatch"):
            court.disclose(target, shown.show(target, **forgery), to=challenger)


def test_trace_is_no_answer_to_demand_for_weights(court: Court, challenger: Account, shown: ShownModel) -> None:
    """Trees of the same kind under another root are told apart by its tag."""
    weights, values = (Part.WEIGHTS, 0, 0, 0), (Part.VALUES, 0, 0, 0)
    court.demand(weights, by=challenger)
    court.demand(values, by=challenger)

    disguised = ShownModel(shown.compiled)
    disguised.weights = TRACE
    with reverts("DisclosureMismatch"):
        court.disclose(weights, disguised.show(weights), to=challenger)
    with reverts("DisclosureMismatch"):
        court.disclose(values, shown.weights.show(values), to=challenger)


@pytest.mark.parametrize(
    "target",
    [
        *((Part.WEIGHTS, 1, 0, 0), (Part.WEIGHT_CHUNKS, 0, 1, 0), (Part.WEIGHT_NODES, 0, 33, 0)),
        *((Part.STEPS, 1, 0, 0), (Part.STEPS, 0, 1, 0), (Part.INTERFACE, 0, 0, 1)),
    ],
)
def test_demand_for_what_no_model_has_reverts(court: Court, challenger: Account, target: Target) -> None:
    """A step has no height, an interface no number."""
    with reverts("TargetInvalid"):
        court.demand(target, by=challenger)


@pytest.mark.parametrize("part", [Part.WEIGHTS, Part.STEPS, Part.INTERFACE])
def test_operator_of_model_without_preimage_is_convicted(scene: Scene, challenger: Account, part: Part) -> None:
    """A publisher that makes up program and weights gives no operator a place to hide: nobody can show what is not."""
    court = try_result(scene)
    court.open(by=challenger)
    court.commit_trace(TRACE)
    target: Target = (part, 0, 0, 0)
    due_at = court.demand(target, by=challenger).timestamp + court.parameter("discloseSeconds")
    court.scene.chain.travel(to=due_at + 1)

    court.convict_silence(challenger=challenger, target=target)

    assert court.state["status"] == DisputeStatus.REFUTED
