"""Prints what disputes cost in gas, played to the end on a chain in this process before the real referee.

For every kind of step of every small model one element of a run is false; its challenger opens, the operator commits to
its trace, the challenger commits to the fault, proves it, and has its bond and share credited. ``conv4608`` is a 3 × 3
convolution over 512 channels. ``proof`` is the transaction that proves, ``total`` the dearest whole dispute of a model,
``tree`` that of all tree models; ``gas_per_term`` is execution alone. With ``--json``, as JSON. The exit status is 1
where a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.support.chain import Chain
from tests.support.eth_tester_node import EthTesterNode
from tests.support.long_contractions import TERMS, byte_case, convolution, float_case
from tests.support.referee_chain import referee_chain
from tests.support.scene import Scene
from tests.support.step_lies import Lie, dearest_lies
from tests.support.trial import bring, open_courtroom

import sworn
from sworn.testing import gallery
from sworn.types import Tensors
from sworn.verification import CompiledModel

PROFILES: Final = ("exact", "bounded")
TREES: Final = ("forest", "boosting", "boosting_regression")
CONVOLUTION: Final = "conv4608"
#: The most that a figure may be, by its place in the document.
GOALS: Final[Mapping[tuple[str, ...], float]] = {
    ("challenge",): 92_000,
    ("transactions",): 5,
    ("total", "mlp"): 800_000,
    ("total", "tree"): 800_000,
    ("total", CONVOLUTION): 2_500_000,
    ("gas_per_term", "float32"): 190,
    ("gas_per_term", "int8"): 30,
}


def main() -> int:
    """Runs the command line; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--profile", choices=PROFILES, default="exact", help="arithmetic of the models")
    parser.add_argument("--model", action="append", help="only this model of the gallery, or conv4608")
    arguments = parser.parse_args()
    names = arguments.model or (*gallery.names(), CONVOLUTION)
    found = measure(names, arguments.profile)
    print(json.dumps(found, indent=1) if arguments.json else table(found))
    missed = list(misses(found))
    print("\n".join(missed), file=sys.stderr, end="\n" if missed else "")
    return int(bool(missed))


def measure(names: tuple[str, ...], profile: str) -> dict[str, Any]:
    """Everything, by the keys that are printed."""
    scene = open_courtroom(Chain(EthTesterNode()))
    _warm(scene, profile)
    moves: dict[str, int] = {}
    total: dict[str, int] = {}
    proof: dict[str, dict[str, int]] = {}
    transactions = 0
    for name in names:
        print(f"{profile} {name}", file=sys.stderr, flush=True)
        played = disputes(scene, name, profile)
        proof[name] = {kind: gas["prove_fault"] for kind, gas in played.items()}
        total[name] = max(sum(gas.values()) for gas in played.values())
        for gas in played.values():
            transactions = max(transactions, len(gas))
            moves |= {move: max(gas[move], moves.get(move, 0)) for move in gas}
    trees = [total[name] for name in TREES if name in total]
    return {
        "profile": profile,
        "challenge": moves["challenge"],
        "transactions": transactions,
        "total": total | ({"tree": max(trees)} if trees else {}),
        "moves": moves,
        "proof": proof,
        "gas_per_term": {
            kind: round(case.asked().gas / TERMS, 1)
            for kind, case in (("float32", float_case()), ("int8", byte_case()))
        },
    }


def _warm(scene: Scene, profile: str) -> None:
    """One dispute that is not counted: afterwards balances and rewards are non-zero, as they are in a steady state."""
    model, inputs = _model("logistic", profile)
    lie, *_ = dearest_lies(model, model.trace(inputs), referee_chain()).values()
    _gas_of(scene, model, inputs, lie)


def disputes(scene: Scene, name: str, profile: str) -> dict[str, dict[str, int]]:
    """Gas of each move, by kind of step that the operator lies about; every dispute starts from the same state."""
    model, inputs = _model(name, profile)
    found = {}
    for kind, lie in dearest_lies(model, model.trace(inputs), referee_chain()).items():
        mark = scene.chain.snapshot()
        found[kind] = _gas_of(scene, model, inputs, lie)
        scene.chain.restore(mark)
    return found


def _model(name: str, profile: str) -> tuple[CompiledModel, Tensors]:
    artifact, inputs = convolution() if name == CONVOLUTION else (gallery.load(name), gallery.rows(name)[0].inputs)
    return sworn.compile_model(artifact, profile=profile), inputs


def _gas_of(scene: Scene, model: CompiledModel, inputs: Tensors, lie: Lie) -> dict[str, int]:
    trial = bring(scene, model, inputs, lie.trace, value=lie.value, index=lie.index)
    return {move: receipt.gas_used for move, receipt in trial.play().items()}


def misses(found: Mapping[str, Any]) -> Iterator[str]:
    """A line for each goal that is not met, of those that were measured."""
    for path, goal in GOALS.items():
        figure: Any = found
        for part in path:
            figure = figure.get(part) if figure is not None else None
        if figure is not None and figure > goal:
            yield f"{'.'.join(path)} is {figure:,}, the goal is {goal:,}"


def table(found: Mapping[str, Any]) -> str:
    """The numbers as people read them."""
    lines = [f"profile {found['profile']}, {found['transactions']} transactions", "", "dearest of each move"]
    lines += [f"  {move:30}{gas:>12,}" for move, gas in found["moves"].items()]
    lines += ["whole dispute", *(f"  {name:30}{gas:>12,}" for name, gas in found["total"].items()), "proof"]
    for name, kinds in found["proof"].items():
        lines += [f"  {f'{name}: {kind}':40}{gas:>12,}" for kind, gas in kinds.items()]
    return "\n".join([*lines, *(f"gas per term, {kind:18}{gas:>12,}" for kind, gas in found["gas_per_term"].items())])


if __name__ == "__main__":
    sys.exit(main())
