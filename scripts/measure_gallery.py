#!/usr/bin/env python3
"""Measures speed and slack of every model that ships with the package; writes scripts/gallery_figures.json.

Figures depend on the machine, so that nothing checks them for equality; `generate_gallery.py` makes a page of them.
Each belongs to one file and one lowering of it, by the id of the model in profile ``exact``. ``--only`` measures some
models and keeps the figures of the others.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

import sworn
from engine_timing import MEASURED_S, in_turns, plain_session
from sworn.testing import gallery, models
from sworn.testing.models import ExampleRow
from sworn.verification import CompiledModel
from sworn.verification.slack import OutputSlack, measure

TARGET = Path(__file__).resolve().parent / "gallery_figures.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """A set of models, and the functions that serve it."""

    title: str
    names: tuple[str, ...]
    card: Callable[[str], dict[str, Any]]
    load: Callable[[str], bytes]
    rows: Callable[[str], tuple[ExampleRow, ...]]


def collections() -> tuple[Collection, ...]:
    """All models that ship with the package."""
    return (
        Collection(title="Gallery", names=gallery.names(), card=gallery.card, load=gallery.load, rows=gallery.rows),
        Collection(
            title="Demo",
            names=models.model_names(),
            card=models.model_card,
            load=models.load_model,
            rows=models.example_rows,
        ),
    )


def figures(artifact: bytes, rows: tuple[ExampleRow, ...], *, measured_s: float) -> dict[str, Any]:
    """Speed and slack of one model on its held-out rows."""
    exact = sworn.compile_model(artifact)
    bounded = sworn.compile_model(artifact, profile="bounded")
    inputs = dict(rows[0].inputs)
    arrays = [inputs[spec.name] for spec in exact.schema.inputs]
    session, names = plain_session(artifact), [spec.name for spec in exact.schema.outputs]
    plain_s, exact_s, bounded_s = in_turns(
        (
            lambda: session.run(names, inputs),
            lambda: exact.executor.run(arrays),
            lambda: bounded.executor.run(arrays),
        ),
        measured_s=measured_s,
    )
    return {
        "model_id": exact.model_id.hex(),
        "onnxruntime_ms": _digits(plain_s * 1e3),
        "exact_ms": _digits(exact_s * 1e3),
        "bounded_ms": _digits(bounded_s * 1e3),
        "slack": slack_figures(bounded, rows),
    }


def slack_figures(bounded: CompiledModel, rows: tuple[ExampleRow, ...]) -> dict[str, Any]:
    """The worst over all rows: what was reached and estimated, relative to the output, and leads that are safe."""
    found: list[OutputSlack] = []
    choices = 0
    for row in rows:
        slack = measure(bounded, row.inputs)
        found += slack.outputs
        choices += sum(each.elements for each in slack.choices)
    margins = [each.margin for each in found if each.margin is not None]
    return {
        "reached": _digits(max(each.relative for each in found)),
        "estimate": _digits(max(each.relative_estimate for each in found)),
        "safe_lead": _digits(max(margin.safe for margin in margins)) if margins else None,
        "least_lead": _digits(min(margin.margin for margin in margins)) if margins else None,
        "safe": all(margin.is_safe for margin in margins),
        "choices": choices,
    }


def machine() -> str:
    """What the figures were measured on."""
    versions = f"Python {platform.python_version()}, numpy {np.__version__}, onnxruntime {onnxruntime.__version__}"
    return f"{platform.machine()} with {os.cpu_count()} processors, by the processor time of one thread; {versions}"


def _digits(value: float) -> float:
    return float(f"{value:.3g}")


def main() -> int:
    """Runs the command line; the exit status."""
    known = [name for collection in collections() for name in collection.names]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=known, default=known, help="keep the figures of the others")
    parser.add_argument("--seconds", type=float, default=MEASURED_S, help="how long each model's speed is measured")
    arguments = parser.parse_args()
    old = json.loads(TARGET.read_text(encoding="utf-8"))["models"] if TARGET.is_file() else {}
    kept = {name: old[name] for name in known if name in old}
    for collection in collections():
        for name in collection.names:
            if name in arguments.only:
                kept[name] = figures(collection.load(name), collection.rows(name), measured_s=arguments.seconds)
                print(f"{name}: {json.dumps(kept[name])}")
    document = {"measured_on": machine(), "models": {name: kept[name] for name in known if name in kept}}
    TARGET.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
