#!/usr/bin/env python3
"""Writes docs/gallery.md: the models that ship with the package, with their ids; ``--check`` only compares."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import prod
from typing import Any

import generated_pages
import sworn
from sworn.model.footprint import footprint
from sworn.model.program import Contract, Program
from sworn.testing import gallery, models

SCRIPT, PAGE = "scripts/generate_gallery.py", "docs/gallery.md"

INTRODUCTION = """# Models

Written by `scripts/generate_gallery.py`; do not edit. These models ship with the package: `sworn.testing.gallery` and
`sworn.testing.models` load them, with held-out rows.

A **ModelId** follows from the file, in the profile `exact` also from the program that the compiler makes of it. Every
machine gets the ids below, from `sworn.model_id(path)` and `sworn.compile_model(path).model_id`. Where an id of the
profile `exact` changes and its file does not, the compiler has changed what the file means.

- **longest contraction**: the most products or terms that one element sums up; – where nothing is summed.
- **proof at most**: an upper bound, over all elements of all steps, of the bytes of a proof that one element is wrong.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """A set of models, and the functions that serve it."""

    title: str
    names: tuple[str, ...]
    card: Callable[[str], dict[str, Any]]
    load: Callable[[str], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What the page says about one model."""

    card: dict[str, Any]
    size_bytes: int
    signed: bytes
    exact: bytes
    program: Program


def page() -> str:
    """The page's text."""
    collections = (
        Collection(title="Gallery", names=gallery.names(), card=gallery.card, load=gallery.load),
        Collection(title="Demo", names=models.model_names(), card=models.model_card, load=models.load_model),
    )
    return "\n".join([INTRODUCTION, *(section(collection) for collection in collections)])


def section(collection: Collection) -> str:
    """The tables of one collection."""
    entries = [entry(collection, name) for name in collection.names]
    return "\n".join([f"## {collection.title}\n", described(entries), identified(entries), measured(entries)])


def entry(collection: Collection, name: str) -> Entry:
    """One model, identified and compiled."""
    artifact = collection.load(name)
    compiled = sworn.compile_model(artifact)
    return Entry(
        card=collection.card(name),
        size_bytes=len(artifact),
        signed=sworn.model_id(artifact),
        exact=compiled.model_id,
        program=compiled.program,
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
    """The id of each model in both profiles."""
    rows = [
        [label(each), profile, f"`0x{model_id.hex()}`"]
        for each in entries
        for profile, model_id in (("signed", each.signed), ("exact", each.exact))
    ]
    return generated_pages.table(["model", "profile", "ModelId"], rows)


def measured(entries: Iterable[Entry]) -> str:
    """What the program of each model takes."""
    rows = [
        [label(each), f"{len(each.program.steps):,}", contraction(each.program), f"{proof_bytes(each.program):,} bytes"]
        for each in entries
    ]
    return generated_pages.table(["model", "steps:", "longest contraction:", "proof at most:"], rows)


def label(each: Entry) -> str:
    """The name under which the package has a model."""
    return f"`{each.card['name']}`"


def contraction(program: Program) -> str:
    """The most terms of one element."""
    lengths = [
        prod(each.extent for each in step.body.reductions) for step in program.steps if isinstance(step.body, Contract)
    ]
    return f"{max(lengths):,}" if lengths else "–"


def proof_bytes(program: Program) -> int:
    """An upper bound of every proof's size."""
    return max(footprint(program, number).proof_bytes for number in range(len(program.steps)))


def main() -> int:
    """Writes or compares the page; the exit status."""
    return generated_pages.run(SCRIPT, page=PAGE, description=__doc__ or "", text_of=page)


if __name__ == "__main__":
    sys.exit(main())
