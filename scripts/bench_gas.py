"""Prints what each move costs in gas; with ``--json``, as JSON. Nothing is compared: a test holds the snapshot."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.support.eth_tester_node import EthTesterNode
from tests.support.gas import GasCost, measure_gas
from tests.support.gas_disputes import measure_dispute_gas


def main() -> int:
    """Runs the command line; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    costs = {**measure_gas(EthTesterNode()), **measure_dispute_gas(EthTesterNode())}
    print(json.dumps(document(costs), indent=1) if arguments.json else table(costs))
    return 0


def document(costs: Mapping[str, GasCost]) -> dict[str, object]:
    """Gas used by move, then calldata and its floors (40 and 64 gas per byte) by move."""
    figures = {name: asdict(cost) for name, cost in costs.items()}
    used: dict[str, object] = {name: figure.pop("gas_used") for name, figure in figures.items()}
    return used | {
        kind: {name: figure[kind] for name, figure in figures.items()}
        for kind in ("calldata_bytes", "floor_40", "floor_64")
    }


def table(costs: Mapping[str, GasCost]) -> str:
    """The numbers as people read them."""
    lines = [f"{'whole transactions':34}{'gas used':>10}{'calldata':>10}{'floor 40':>10}{'floor 64':>10}"]
    for name, cost in costs.items():
        figures = (cost.gas_used, cost.calldata_bytes, cost.floor_40, cost.floor_64)
        lines.append(f"{name:34}" + "".join(f"{figure:>10,}" for figure in figures))
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
