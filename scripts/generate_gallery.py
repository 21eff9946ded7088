#!/usr/bin/env python3
"""Writes docs/gallery.md: the models that ship with the package, with ids and figures; ``--check`` only compares."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import Any

import generated_pages
import sworn
from measure_gallery import TARGET, Collection, collections
from sworn.model.footprint import footprint
from sworn.model.program import Contract, Program

SCRIPT, PAGE = "scripts/generate_gallery.py", "docs/gallery.md"

INTRODUCTION = """# Models

Written by `scripts/generate_gallery.py`; do not edit. These models ship with the package: `sworn.testing.gallery` and
`sworn.testing.models` load them, with held-out rows.

A **ModelId** follows from the file, in the profiles `exact` and `bounded` also from the program that the compiler makes
of it. Every machine gets the ids below, from `sworn.model_id(path, profile="exact")`. Where an id of these two profiles
changes and its file does not, the compiler has changed what the file means.

- **longest contraction**: the most products or terms that one element sums up; – where nothing is summed.
- **proof at most**: an upper bound, over all elements of all steps, of the bytes of a proof that one element is wrong,
  and an estimate of the gas that it costs.
- **exact, bounded**: the time of one answer in each profile, as a multiple of plain onnxruntime's.
- **slack**: how far the outputs can be pushed in profile `bounded` by somebody who pushes every element of every step
  the worst way its bounds allow, as `sworn model slack` measures it, over three held-out rows. *Pushed by* was reached
  by a run that an audit finds nothing wrong with, *at most* is a bound to first order, both relative to the output's
  greatest magnitude. Leads of the greatest element above *safe above* cannot be turned round, to first order; *least
  lead* is the smallest in these rows. Where activations are rounded to integers, the bound takes every rounding within
  reach of a tie as turned, layer upon layer, and says little. In profile `exact` nothing can be pushed.

Speed and slack were measured by `scripts/measure_gallery.py`, on {machine}.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What the page says about one model."""

    card: dict[str, Any]
    size_bytes: int
    signed: bytes
    exact: bytes
    bounded: bytes
    program: Program
    figures: dict[str, Any]


def page() -> str:
    """The page's text."""
    measured = json.loads(TARGET.read_text(encoding="utf-8"))
    parts = (section(collection, measured["models"]) for collection in collections())
    return "\n".join([INTRODUCTION.format(machine=measured["measured_on"]), *parts])


def section(collection: Collection, figures: dict[str, Any]) -> str:
    """The tables of one collection."""
    entries = [entry(collection, name, figures.get(name, {})) for name in collection.names]
    tables = [described(entries), identified(entries), sized(entries), timed(entries), pushed(entries)]
    return "\n".join([f"## {collection.title}\n", *tables])


def entry(collection: Collection, name: str, figures: dict[str, Any]) -> Entry:
    """One model, identified and compiled; raises `SystemExit` where its figures are another model's."""
    artifact = collection.load(name)
    exact, bounded = (sworn.compile_model(artifact, profile=profile) for profile in ("exact", "bounded"))
    if figures.get("model_id") != exact.model_id.hex():
        raise SystemExit(f"{name} has changed since it was measured: run scripts/measure_gallery.py --only {name}")
    return Entry(
        card=collection.card(name),
        size_bytes=len(artifact),
        signed=sworn.model_id(artifact, profile="signed"),
        exact=exact.model_id,
        bounded=bounded.model_id,
        program=exact.program,
        figures=figures,
    )


def described(entries: Iterable[Entry]) -> str:
    """Where each model comes from and how good it is."""
    rows = [
        [label(each), each.card["estimator"], each.card["data"], score(each.card), f"{each.size_bytes:,}"]
        for each in entries
    ]
    return generated_pages.table(["model", "estimator", "data set", "held-out score", "bytes:"], rows)


def score(card: dict[str, Any]) -> str:
    """The score on rows that were not trained on."""
    return f"{card['metric']} {card['score']} on {card['held_out_rows']:,} rows"


def identified(entries: Iterable[Entry]) -> str:
    """The id of each model in every profile."""
    rows = [
        [label(each), profile, f"`0x{model_id.hex()}`"]
        for each in entries
        for profile, model_id in (("signed", each.signed), ("exact", each.exact), ("bounded", each.bounded))
    ]
    return generated_pages.table(["model", "profile", "ModelId"], rows)


def sized(entries: Iterable[Entry]) -> str:
    """What the program of each model takes."""
    rows = []
    for each in entries:
        proofs = [footprint(each.program, number) for number in range(len(each.program.steps))]
        size, gas = max(proof.proof_bytes for proof in proofs), max(proof.gas for proof in proofs)
        rows.append([label(each), f"{len(each.program.steps):,}", contraction(each.program), f"{size:,}", f"{gas:,}"])
    return generated_pages.table(["model", "steps:", "longest contraction:", "proof at most, bytes:", "gas:"], rows)


def timed(entries: Iterable[Entry]) -> str:
    """How long one answer takes."""
    rows = []
    for each in entries:
        plain = each.figures["onnxruntime_ms"]
        ratios = (f"{each.figures[name] / plain:.2g} ×" for name in ("exact_ms", "bounded_ms"))
        rows.append([label(each), f"{plain:.2g} ms", *ratios])
    return generated_pages.table(["model", "onnxruntime:", "exact:", "bounded:"], rows)


def pushed(entries: Iterable[Entry]) -> str:
    """How far the outputs of each model can be pushed in profile `bounded`."""
    rows = []
    for each in entries:
        slack = each.figures["slack"]
        leads = [f"{slack[name]:.2g}" if slack[name] is not None else "–" for name in ("safe_lead", "least_lead")]
        rows.append([label(each), part(slack["reached"]), part(slack["estimate"]), *leads])
    return generated_pages.table(["model", "pushed by:", "at most:", "safe above:", "least lead:"], rows)


def part(value: float) -> str:
    """A part of the output's magnitude: in per cent from a thousandth of one on, 0 where nothing moves."""
    if not value:
        return "0"
    return f"{float(f'{100 * value:.2g}'):g} %" if value >= 1e-5 else f"{value:.1e}"


def label(each: Entry) -> str:
    """The name under which the package has a model."""
    return f"`{each.card['name']}`"


def contraction(program: Program) -> str:
    """The most terms of one element."""
    lengths = [
        prod(each.extent for each in step.body.reductions) for step in program.steps if isinstance(step.body, Contract)
    ]
    return f"{max(lengths):,}" if lengths else "–"


def main() -> int:
    """Writes or compares the page; the exit status."""
    return generated_pages.run(SCRIPT, page=PAGE, description=__doc__ or "", text_of=page)


if __name__ == "__main__":
    sys.exit(main())
