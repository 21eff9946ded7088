from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from tests.invariants.disputes import FullWalk
from tests.invariants.play import Play
from tests.invariants.tour import Tour
from tests.invariants.world import make_world
from tests.support.chain import Chain
from tests.support.eth_tester_node import EthTesterNode

#: What the tour must reach: a move that never succeeds shows nothing.
MUST_HAPPEN = frozenset(
    {
        *(f"InferenceOracle.{name}" for name in ("request", "propose", "proposeMany", "fail", "finalize")),
        *(f"InferenceOracle.{name}" for name in ("finalizeMany", "expire", "retryCallback", "withdrawFor")),
        *(f"OperatorRegistry.{name}" for name in ("register", "addStake", "authorizeSigner", "revokeSigner")),
        *(f"OperatorRegistry.{name}" for name in ("setOffer", "unbond", "cancelUnbonding", "withdrawStake")),
        *("OperatorRegistry.withdrawEarnings", "SignedResults.use", "SignedResults.release"),
        *(f"DisputeGame.{name}" for name in ("proveEquivocation", "slashUse", "withdrawFor")),
        *("NONE to REQUESTED", "REQUESTED to PROPOSED", "REQUESTED to FAILED", "REQUESTED to EXPIRED"),
        *("REQUESTED to REFUTED", "PROPOSED to FINALIZED", "PROPOSED to REFUTED", "PROPOSED to REQUESTED"),
        *("reentrant withdrawal", "final callback after a failed one"),
        *("DisputeGame.proveEquivocation: AlreadyConvicted", "InferenceOracle.propose: OperatorBarredFromRequest"),
        *("InferenceOracle.request: RequestExists", "InferenceOracle.withdrawFor: CreditMissing"),
    }
)


#: What random walks reach several times each; without it they would be walks on the spot.
COMMON = frozenset(
    {
        *("InferenceOracle.request", "InferenceOracle.propose", "DisputeGame.proveEquivocation"),
        *("NONE to REQUESTED", "REQUESTED to PROPOSED", "PROPOSED to FINALIZED"),
    }
)


def run_walks(stage: Play, *, walks: int, steps: int) -> None:
    """Runs walks from the stage. Any callable that makes a machine will do, whatever the annotation says."""
    machine: Any = partial(FullWalk, stage)
    run_state_machine_as_test(machine, settings=walk_settings(walks=walks, steps=steps))
    rare = {name: stage.outcomes[name] for name in COMMON if stage.outcomes[name] < walks // 2}
    assert not rare


def walk_settings(*, walks: int, steps: int) -> settings:
    """The same walks every time."""
    return settings(
        max_examples=walks,
        stateful_step_count=steps,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )


@pytest.fixture
def stage() -> Iterator[Play]:
    """Where every walk begins, on a chain of its own."""
    node = EthTesterNode()
    opening = FullWalk(Play(make_world(Chain(node))))
    opening.register_operators()
    yield opening.play
    node.close()


def test_tour_of_protocol_reaches_everything(stage: Play) -> None:
    """A planned walk reaches every kind of move and every change of status, and the invariants hold all the way."""
    tour = Tour(stage)
    try:
        tour.travel_all()
    finally:
        tour.teardown()

    assert not MUST_HAPPEN - stage.outcomes.keys()


@pytest.mark.timeout(900)
def test_walks_through_protocol_keep_all_invariants(stage: Play) -> None:
    """On random walks the contracts do what the reference predicts, and every invariant holds after every move."""
    run_walks(stage, walks=20, steps=60)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_long_walks_through_protocol_keep_all_invariants(stage: Play) -> None:
    """The same, further."""
    run_walks(stage, walks=200, steps=100)
