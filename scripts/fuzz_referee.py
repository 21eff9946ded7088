"""Puts random claims before the referee on the chain and the one in Python, and counts by rule and profile.

Stops at the first claim of which they say different things. Each family of rules goes on until so many claims have been
judged: those that both refuse, because nobody can judge them, are counted beside.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.support.referee_cases import FAMILIES
from tests.support.referee_corpus import write_corpus
from tests.support.referee_fuzz import Tally, endless_cases, kind_of, put_before_both

from sworn.types import Profile

PROFILES = (Profile.EXACT, Profile.BOUNDED)
_REPORT_EVERY = 20_000


def main() -> int:
    """Runs the command line; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=100_000, help="claims to judge per family and profile")
    parser.add_argument("--seed", type=int, default=2, help="another seed, other claims")
    parser.add_argument("--family", action="append", choices=tuple(FAMILIES), help="only this one; may be repeated")
    parser.add_argument("--profile", action="append", choices=[each.name.lower() for each in PROFILES], help="likewise")
    parser.add_argument("--kinds", action="store_true", help="also count each function")
    parser.add_argument(
        "--write-corpus", action="store_true", help="choose the committed claims anew, and nothing else"
    )
    arguments = parser.parse_args()
    if arguments.write_corpus:
        print(f"{write_corpus()} claims chosen")
        return 0
    for family in arguments.family or FAMILIES:
        for profile in PROFILES:
            if arguments.profile and profile.name.lower() not in arguments.profile:
                continue
            started = time.monotonic()
            tally = _judged(family, profile, arguments.cases, seed=arguments.seed)
            print(_line(f"{family}, {profile.name.lower()}", tally, time.monotonic() - started), flush=True)
            if arguments.kinds:
                for kind in tally.kinds:
                    counts = ", ".join(f"{count:,}" for count in tally.of_kind(kind))
                    print(f"    {kind}: convicted, acquitted, refused {counts}", flush=True)
    return 0


def _judged(family: str, profile: Profile, cases: int, *, seed: int) -> Tally:
    """Counts until so many claims have been convicted or acquitted."""
    tally = Tally()
    for case in endless_cases(family, profile, seed=seed):
        tally.add(kind_of(case), put_before_both(case).faulty)
        judged = tally.of(True) + tally.of(False) if tally.total % 1000 == 0 else 0
        if judged >= cases:
            break
        if tally.total % _REPORT_EVERY == 0:
            print(f"  {family}, {profile.name.lower()}: {judged:,}", file=sys.stderr, flush=True)
    return tally


def _line(name: str, tally: Tally, seconds: float) -> str:
    counts = f"{tally.of(True):,} convicted, {tally.of(False):,} acquitted, {tally.of(None):,} refused"
    return f"{name}: {tally.total:,} claims agree ({counts}) in {seconds:,.0f} s"


if __name__ == "__main__":
    sys.exit(main())
