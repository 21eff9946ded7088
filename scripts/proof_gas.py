"""Measures what it takes to convict a lie of one element in a step of every kind, and writes it down.

Every figure is that of a whole game on a chain with the real referee: the answer is proposed and challenged, the lie is
proved, the operator is convicted and slashed. Of each kind of step of each model, the step with the dearest proof is
taken. Figures are kept in ``tests/snapshots/proof_gas.json``, from which the page is made; without ``--light`` or
``--gallery`` nothing is measured. ``--check`` measures models that take seconds and compares everything.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.support.accounts import funded_account
from tests.support.anvil_node import AnvilNode, find_anvil
from tests.support.chain import Chain
from tests.support.eth_tester_node import EthTesterNode
from tests.support.lies_measured import PROFILES, Figures, measure
from tests.support.lies_tried import open_courthouse

from generated_pages import ROOT, table
from sworn.testing import gallery

FIGURES = ROOT / "tests" / "snapshots" / "proof_gas.json"
PAGE = ROOT / "docs" / "proof_gas.md"
LIGHT: Final = ("light_squeezenet", "light_resnet50", "light_vgg19")
#: Measured again by ``--check``.
QUICK: Final = ("logistic", "mlp", "forest")
#: Of a transaction: the gas that it may take (EIP-7825), and the bytes that nodes pass on.
GAS_CAP: Final = 1 << 24
SIZE_CAP: Final = 128 << 10
#: Of a signed transaction, what stands around its calldata, at most.
ENVELOPE_BYTES: Final = 256
_HEAD = """# What convicting a lie costs

Made by `scripts/proof_gas.py` from `tests/snapshots/proof_gas.json`; do not edit.

One element of one step is wrong, by one bit (`exact`) or by the first float beyond the step's bound (`bounded`), and
the whole game is played on a local chain with the real referee: request, proposal, challenge, trace, commitment,
proof, conviction, slash. The same is tried with the last value that is right, and convicts nobody. Of each kind of
step of each model, the step with the dearest proof is taken, and an element in its middle. Gas is that of the whole
transaction with the proof, everything included; floor 40 is what its calldata costs at least (EIP-7623: 10 gas for a
zero byte, 40 for another), floor 64 the same at 64 for any byte (draft EIP-7976). "At most" is what
`sworn model inspect` says of the step: compiling refuses a model of which a step could take more than 16,000,000
there. "Game" is the gas of challenge, trace, commitment and proof together.

A transaction may take 16,777,216 gas (EIP-7825) and 131,072 bytes.
"""


def main() -> int:
    """Runs the command line; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gallery", action="store_true", help="measure the models of the gallery")
    parser.add_argument("--light", action="append", choices=LIGHT, help="measure this network; may be repeated")
    parser.add_argument("--check", action="store_true", help="compare figures and page instead of writing them")
    arguments = parser.parse_args()
    if arguments.check:
        return _check()
    figures = _committed()
    names = [*(gallery.names() if arguments.gallery else ()), *(arguments.light or ())]
    for name, profile, rows in _measured(names):
        figures[f"{name} {profile}"] = rows
        FIGURES.write_text(_text(figures), encoding="utf-8")
        print(f"{name}, {profile}: {len(rows)} kinds of steps convicted", flush=True)
    PAGE.write_text(page(figures), encoding="utf-8")
    wrong = beyond_limits(figures)
    print("\n".join(f"beyond its limits: {each}" for each in wrong), file=sys.stderr)
    return 1 if wrong else 0


def _check() -> int:
    figures, stale = _committed(), []
    for name, profile, rows in _measured(QUICK):
        key = f"{name} {profile}"
        stale += [key] if figures.get(key) != rows else []
    stale += beyond_limits(figures)
    stale += ["the page"] if not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != page(figures) else []
    if stale:
        print(f"stale, run scripts/proof_gas.py --gallery: {', '.join(stale)}", file=sys.stderr)
    return 1 if stale else 0


def _measured(names: Sequence[str]) -> Iterator[tuple[str, str, Figures]]:
    anvil = find_anvil()
    node = EthTesterNode() if anvil is None else AnvilNode(anvil)
    try:
        courthouse = open_courthouse(Chain(node), funded_account(0))
        for name in names:
            for profile in PROFILES:
                yield name, profile, measure(courthouse, name, profile)
    finally:
        node.close()


def _committed() -> dict[str, Figures]:
    return dict(json.loads(FIGURES.read_text(encoding="utf-8"))) if FIGURES.is_file() else {}


def _text(figures: Mapping[str, Figures]) -> str:
    return json.dumps(figures, indent=1, sort_keys=True) + "\n"


def page(figures: Mapping[str, Figures]) -> str:
    """The page over all figures."""
    rows = [(model, kind, found) for model, kinds in figures.items() for kind, found in kinds.items()]
    parts = [_HEAD, _extremes(rows)]
    for profile in PROFILES:
        mine = {key.removesuffix(f" {profile}"): kinds for key, kinds in figures.items() if key.endswith(f" {profile}")}
        parts += [f"## Profile `{profile}`\n", _table(mine)]
    return "\n".join(parts)


def beyond_limits(figures: Mapping[str, Figures]) -> list[str]:
    """Proofs that no transaction holds, at whatever floor, and those that take more than was estimated."""
    return [
        f"{model}, {kind}"
        for model, kinds in figures.items()
        for kind, found in kinds.items()
        if found["gas"] > found["estimate"]
        or max(found["gas"], found["estimate"], found["floor_64"]) > GAS_CAP
        or found["calldata"] + ENVELOPE_BYTES > SIZE_CAP
    ]


def _extremes(rows: Sequence[tuple[str, str, Mapping[str, Any]]]) -> str:
    def dearest(name: str) -> str:
        model, kind, found = max(rows, key=lambda row: row[2][name])
        return f"{found[name]:,} ({model}, {kind})"

    ratios = [found["estimate"] / found["gas"] for _, _, found in rows]
    lines = [
        f"- {len(rows)} lies convicted.",
        f"- Dearest proof: {dearest('gas')} gas; with the floor at 64: {dearest('floor_64')}.",
        f"- Largest calldata: {dearest('calldata')} bytes.",
        f"- The estimate is {min(ratios):.2f} to {max(ratios):.2f} times what was measured, never below it.",
    ]
    return "\n".join(lines) + "\n"


def _table(models: Mapping[str, Figures]) -> str:
    columns = ["model", "step", "terms:", "proof bytes:", "calldata:", "gas:", "at most:", "floor 40:", "floor 64:"]
    names = ("terms", "proof", "calldata", "gas", "estimate", "floor_40", "floor_64", "game")
    rows = [
        [model, kind, *(f"{found[name]:,}" for name in names)]
        for model, kinds in models.items()
        for kind, found in kinds.items()
    ]
    return table([*columns, "game:"], rows)


if __name__ == "__main__":
    sys.exit(main())
