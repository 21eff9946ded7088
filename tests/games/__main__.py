"""Plays many random games, and says how they went.

::

    PYTHONPATH=scripts python -m tests.games [--games 10000] [--first 0]

A game that breaks a rule is printed with its seed and every move; the others go on. The same seed plays the same game.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from time import monotonic

from tests.games.arena import Arena
from tests.games.facts import MUST_BE_REFUSED, MUST_HAPPEN
from tests.games.game import play
from tests.games.table import Violation

_REPORT_EVERY = 500


def main(arguments: Sequence[str]) -> int:
    """Plays; 1 if a rule was broken."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--games", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args(arguments)
    arena, started = Arena(players=12), monotonic()
    facts, refusals, verdicts = Counter[str](), Counter[str](), Counter[str]()
    moves = violations = 0
    for seed in range(options.first, options.first + options.games):
        try:
            outcome = play(arena, seed)
        except Violation as error:
            violations += 1
            sys.stdout.write(f"{error}\n")
            continue
        facts += outcome.facts
        refusals += outcome.refusals
        verdicts[f"{'lie' if outcome.plan.story.false else 'truth'} {outcome.status.name.lower()}"] += 1
        moves += outcome.moves
        if (seed + 1) % _REPORT_EVERY == 0:
            sys.stdout.write(f"up to seed {seed}: {violations} violations, {monotonic() - started:.0f} s\n")
            sys.stdout.flush()
    summary = {
        "games": options.games,
        "violations": violations,
        "moves": moves,
        "seconds": round(monotonic() - started),
        "verdicts": dict(sorted(verdicts.items())),
        "facts": dict(sorted(facts.items())),
        "refusals": dict(sorted(refusals.items())),
        "never reached": sorted((MUST_HAPPEN - facts.keys()) | (MUST_BE_REFUSED - refusals.keys())),
    }
    sys.stdout.write(json.dumps(summary, indent=2) + "\n")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
