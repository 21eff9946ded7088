from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from tests.support.eth_tester_node import EthTesterNode
from tests.support.gas import GasCost, measure_gas
from tests.support.gas_disputes import measure_dispute_gas

_SNAPSHOT = Path(__file__).resolve().parents[1] / "snapshots" / "gas.json"

#: Whole transactions, 128-byte input, 64-byte output: what the product promises.
_GOALS = {
    "request": 62_000,
    "request_consumer": 74_000,
    "propose": 68_000,
    "propose_batch50_each": 32_000,
    "finalize_callback": 60_000,
    "finalize_batch50_each": 38_000,
    "finalize_batch50_consumers_each": 38_000,
    "challenge": 92_000,
    "whole_dispute_mlp": 800_000,
    "whole_dispute_boosting": 800_000,
    "whole_dispute_convolution": 2_500_000,
}


@pytest.fixture(scope="module")
def costs() -> dict[str, GasCost]:
    """What everything costs with the present contracts."""
    return {**measure_gas(EthTesterNode()), **measure_dispute_gas(EthTesterNode())}


def test_gas_of_every_move_equals_snapshot(costs: dict[str, GasCost]) -> None:
    """A change of gas is seen and meant: `scripts/update_snapshots.py` rewrites the numbers."""
    expected = json.loads(_SNAPSHOT.read_text(encoding="utf-8"))

    assert {name: asdict(cost) for name, cost in costs.items()} == expected


@pytest.mark.parametrize("name", _GOALS)
def test_gas_of_promised_moves_stays_within_goal(costs: dict[str, GasCost], name: str) -> None:
    """What is promised holds under today's calldata price."""
    assert costs[name].gas_used <= _GOALS[name]


def test_gas_of_every_move_covers_calldata_floor(costs: dict[str, GasCost]) -> None:
    """No move is priced by its calldata alone, so that the numbers compare contracts and not encodings."""
    # Sixteen chunks are little but bytes.
    others = [cost for name, cost in costs.items() if "_16_" not in name]
    assert all(cost.gas_used > cost.floor_40 for cost in others)
