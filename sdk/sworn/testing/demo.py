"""The demo: from an empty chain to a loan priced by a model, and to an operator that is caught lying, twice.

Every number that is told is read from the chain or computed from it, and every claim is checked; a claim that does not
hold ends the demo with `StoryBroken`.
"""

from __future__ import annotations

import time
from typing import Any

from sworn.testing.demo_equivocation import equivocation
from sworn.testing.demo_fault import false_element
from sworn.testing.demo_lending import lending
from sworn.testing.demo_opening import deployment, operator, prediction
from sworn.testing.demo_recomputing import recomputing
from sworn.testing.demo_refusals import bad_input, silence
from sworn.testing.demo_stage import Narrator, Stage, StoryBroken
from sworn.testing.local_chain import ChainKind, start_chain

__all__ = ["Narrator", "StoryBroken", "run_demo"]

CHAPTERS = (operator, prediction, recomputing, lending, bad_input, silence, equivocation, false_element)


def run_demo(kind: ChainKind, narrator: Narrator) -> dict[str, Any]:
    """Tells the whole story and returns its summary: chapters with facts, transactions and times.

    Raises `StoryBroken`, `ConfigurationError` when the chain is not installed.
    """
    begun = time.monotonic()
    with start_chain(kind) as chain:
        stage = Stage(chain, narrator)
        try:
            deployment(stage)
            for chapter in CHAPTERS:
                chapter(stage)
            return {
                "chain": kind.value,
                "chain_id": stage.oracle.deployment.chain_id,
                "claims_checked": stage.claims,
                "transactions": sum(len(chapter.transactions) for chapter in stage.chapters),
                "gas": sum(sent["gas"] for chapter in stage.chapters for sent in chapter.transactions),
                "seconds": round(time.monotonic() - begun, 3),
                "chapters": [chapter.summary() for chapter in stage.chapters],
            }
        finally:
            stage.close()
