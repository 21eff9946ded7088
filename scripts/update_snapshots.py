"""Rewrites ``tests/snapshots/``; read the difference before you commit it."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.support.eth_tester_node import EthTesterNode
from tests.support.gas import measure_gas
from tests.support.gas_disputes import measure_dispute_gas

ROOT = Path(__file__).resolve().parent.parent
GAS_SNAPSHOT = ROOT / "tests" / "snapshots" / "gas.json"


def main() -> int:
    """Measures gas and writes the snapshot; the exit status."""
    costs = {**measure_gas(EthTesterNode()), **measure_dispute_gas(EthTesterNode())}
    text = json.dumps({name: asdict(cost) for name, cost in costs.items()}, indent=1, sort_keys=True) + "\n"
    before = GAS_SNAPSHOT.read_text(encoding="utf-8") if GAS_SNAPSHOT.is_file() else ""
    GAS_SNAPSHOT.write_text(text, encoding="utf-8")
    print(f"{GAS_SNAPSHOT.relative_to(ROOT)}: {'unchanged' if text == before else 'rewritten'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
