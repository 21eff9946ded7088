"""Rewrites ``tests/snapshots/``; read the difference before you commit it."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.support.eth_tester_node import EthTesterNode
from tests.support.gas import measure_gas

ROOT = Path(__file__).resolve().parent.parent
GAS_SNAPSHOT = ROOT / "tests" / "snapshots" / "gas.json"


def main() -> int:
    """Measures gas and writes the snapshot; the exit status."""
    costs = {name: asdict(cost) for name, cost in measure_gas(EthTesterNode()).items()}
    text = json.dumps(costs, indent=1, sort_keys=True) + "\n"
    before = GAS_SNAPSHOT.read_text(encoding="utf-8") if GAS_SNAPSHOT.is_file() else ""
    GAS_SNAPSHOT.write_text(text, encoding="utf-8")
    print(f"{GAS_SNAPSHOT.relative_to(ROOT)}: {'unchanged' if text == before else 'rewritten'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
