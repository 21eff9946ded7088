"""How many elements of honest runs were checked without a false fault, and how many planted lies were proved.

Honest traces are made with other threads and settings than they are audited with: in profile `exact` by compiled
kernels and audited by plain numpy, in profile `bounded` by onnxruntime, without and with graph optimisations. Samples
of every step are judged by the scalar referee besides. Lies change one element by as little as convicts, or in a random
bit; each has to be found where it is and proved from the proof's bytes alone. With ``--json``, as JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from statistics import median
from typing import Any, Final

import sworn
from gallery_light import light_network
from soundness import Tally, deceive, survey
from sworn.errors import SwornError
from sworn.testing import gallery

PROFILES: Final = ("exact", "bounded")
LIGHT: Final = ("squeezenet", "shufflenet", "resnet50")
#: Honest runs of each small model, lies per step of it, and elements per step that the scalar referee judges.
RUNS, LIES, JUDGED = 20, 4, 3
#: The same for the large ones: fewer, since each costs a run.
LIGHT_RUNS, LIGHT_LIES, LIGHT_STEPS, LIGHT_JUDGED = 4, 2, 12, 1


def main() -> int:
    """Runs the command line; the exit status is 1 where anything went wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--small", action="store_true", help="leave the large networks out")
    parser.add_argument("--profile", choices=PROFILES, action="append", help="only this profile")
    arguments = parser.parse_args()
    names = (*gallery.names(), *(() if arguments.small else LIGHT))
    tallies = {profile: Tally() for profile in arguments.profile or PROFILES}
    refused: dict[str, str] = {}
    for profile, tally in tallies.items():
        for name in names:
            print(f"{profile} {name}", file=sys.stderr, flush=True)
            try:
                count(name, profile, tally)
            except SwornError as error:
                refused[f"{profile} {name}"] = f"{type(error).__name__}: {error}"
    found = {profile: report(tally) for profile, tally in tallies.items()}
    print(json.dumps({**found, "refused": refused}, indent=1) if arguments.json else table(found, refused))
    failed = any(each["false_faults"] or each["proved"] != each["tried"] for each in found.values())
    return int(failed or bool(refused))


def count(name: str, profile: str, tally: Tally) -> None:
    """Surveys and deceives one model."""
    is_light = name in LIGHT
    model = sworn.compile_model(light_network(name) if is_light else gallery.load(name), profile=profile, threads=2)
    survey(model, tally, runs=LIGHT_RUNS if is_light else RUNS, judged=LIGHT_JUDGED if is_light else JUDGED)
    deceive(model, tally, lies=LIGHT_LIES if is_light else LIES, steps=LIGHT_STEPS if is_light else None)


def report(tally: Tally) -> dict[str, Any]:
    """The counts of one profile, in all and by kind of step."""
    columns = {
        "elements_checked": tally.checked,
        "elements_judged": tally.judged,
        "false_faults": tally.false_faults,
        "tried": tally.tried,
        "found": tally.found,
        "proved": tally.proved,
    }
    found: dict[str, Any] = {name: column.total() for name, column in columns.items()}
    found["by_kind"] = {
        kind: {**{name: column[kind] for name, column in columns.items()}, **_smallest(tally.smallest.get(kind, []))}
        for kind in sorted({kind for column in columns.values() for kind in column})
    }
    return found


def _smallest(units: list[int]) -> dict[str, Any]:
    """The least lie that convicts, in units in the last place of the honest element, over sampled elements."""
    return {"smallest_lie_median_ulp": median(units), "smallest_lie_worst_ulp": max(units)} if units else {}


def table(found: Mapping[str, dict[str, Any]], refused: Mapping[str, str]) -> str:
    """The counts as people read them."""
    lines = []
    for profile, report in found.items():
        totals = {name: number for name, number in report.items() if name != "by_kind"}
        names = (*totals, "smallest_lie_median_ulp", "smallest_lie_worst_ulp")
        lines += ["", "".join([f"{profile:42}", *(f"{name.removeprefix('smallest_'):>18}" for name in names)])]
        for kind, row in {**report["by_kind"], "all": totals}.items():
            lines.append(
                "".join(
                    [f"{kind:42}", *(f"{row.get(name, ''):>18,}" if name in row else f"{'':>18}" for name in names)]
                )
            )
    return "\n".join([*lines[1:], *(f"{name:42}refused: {reason}" for name, reason in refused.items())])


if __name__ == "__main__":
    sys.exit(main())
