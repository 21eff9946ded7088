from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from tests.invariants.disputes import FullWalk
from tests.invariants.play import Play
from tests.invariants.world import make_world
from tests.support.chain import Chain
from tests.support.eth_tester_node import EthTesterNode


def run_walks(stage: Play, *, walks: int, steps: int) -> None:
    """Runs walks from the stage. Any callable that makes a machine will do, whatever the annotation says."""
    machine: Any = partial(FullWalk, stage)
    run_state_machine_as_test(machine, settings=walk_settings(walks=walks, steps=steps))


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


@pytest.fixture(scope="module")
def stage() -> Iterator[Play]:
    """Where every walk begins, on a chain of its own."""
    node = EthTesterNode()
    opening = FullWalk(Play(make_world(Chain(node))))
    opening.register_operators()
    yield opening.play
    node.close()


@pytest.mark.timeout(900)
def test_walks_through_protocol_keep_all_invariants(stage: Play) -> None:
    """On random walks the contracts do what the reference predicts, and every invariant holds after every move."""
    run_walks(stage, walks=20, steps=60)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_long_walks_through_protocol_keep_all_invariants(stage: Play) -> None:
    """The same, further."""
    run_walks(stage, walks=200, steps=100)
