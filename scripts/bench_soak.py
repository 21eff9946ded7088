"""Runs a watcher at a steady load and prints what of it grows: memory, file handles, threads, rows.

A chain whose blocks come every second and are half a day apart, so that what is kept for months goes within minutes;
three endpoints, no faults. ``growth`` compares the last quarter of the samples with the second one, so that start-up
does not count; rows go once an hour and are judged in runs of more than three. With ``--json``, as JSON. The exit
status is 1 where anything grows by more than a tenth, or an answer is missing.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Final

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from sqlalchemy import func, select
from tests.chaos.asked import Asked
from tests.chaos.crew import Crew
from tests.chaos.storm import Storm
from tests.support.watcher_world import ETHER, open_world

from sworn.testing.anvil import AnvilChain
from sworn.types import Status
from sworn.watcher.store.database import open_database
from sworn.watcher.store.tables import METADATA

BLOCK_S: Final = 43_200
LIFE_S: Final = 30 * 86_400
#: Seconds for which rows that are over are kept.
KEEP_S: Final = 60
SAMPLE_S: Final = 20.0
#: The most by which anything may grow.
MAX_GROWTH: Final = 0.1
#: Rows go once an hour: how many there are says something after some of these.
ROWS_AFTER_S: Final = 3 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What a watcher uses at some moment."""

    at_s: float
    rss_bytes: int
    handles: int
    threads: int
    rows: dict[str, int]


def main() -> int:
    """Runs the command line; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--seconds", type=float, default=3600.0, help="how long")
    parser.add_argument("--per-block", type=int, default=4, help="requests in every block")
    arguments = parser.parse_args()
    with ExitStack() as closing, tempfile.TemporaryDirectory(prefix="sworn-soak-") as folder:
        samples, asked = soak(closing, Path(folder), arguments.seconds, arguments.per_block)
        found = report(samples, asked)
    print(json.dumps(found, indent=1) if arguments.json else table(found))
    return 0 if not found["grows"] and not found["unanswered"] else 1


def soak(closing: ExitStack, folder: Path, seconds: float, per_block: int) -> tuple[list[Sample], Asked]:
    """Runs for so long, and until every request has ended; samples, and what was asked."""
    chain = AnvilChain()
    closing.callback(chain.close)
    world = open_world(chain, stake_wei=100 * ETHER)
    storm = Storm(chain=chain, block_s=BLOCK_S)
    asked = Asked(world=world, storm=storm, life_s=LIFE_S, late_every=0)
    url = f"sqlite:///{folder}/watcher.db"
    crew = Crew(world=world, folder=folder, database_url=url, urls=(chain.url,) * 3, keep_rows_s=KEEP_S)
    closing.callback(crew.end)
    samples: list[Sample] = []
    started = time.monotonic()
    crew.keep_running()
    while (now := time.monotonic() - started) < seconds:
        asked.ask(per_block)
        storm.tick()
        if now >= SAMPLE_S * (len(samples) + 1):
            samples.append(sample(crew.pids()[0], url, now))
        time.sleep(max(0.0, 1.0 - (time.monotonic() - started - now)))
    for _ in range(120):
        storm.tick()
        time.sleep(0.5)
    asked.expire()
    storm.tick()
    return samples, asked


def sample(pid: int, url: str, at_s: float) -> Sample:
    """What the process and its database have now."""
    process = psutil.Process(pid)
    database = open_database(url)
    try:
        with database.transaction() as connection:
            rows = {
                table.name: int(connection.execute(select(func.count()).select_from(table)).scalar_one())
                for table in METADATA.sorted_tables
            }
    finally:
        database.close()
    memory, handles = process.memory_info().rss, process.num_fds()
    return Sample(at_s=at_s, rss_bytes=memory, handles=handles, threads=process.num_threads(), rows=rows)


def report(samples: list[Sample], asked: Asked) -> dict[str, object]:
    """Samples of the second and the last quarter against each other, and what became of the requests."""
    quarter = max(len(samples) // 4, 1)
    early, late = samples[quarter : 2 * quarter] or samples, samples[-quarter:]
    names = sorted(name for name in samples[-1].rows if any(each.rows[name] for each in samples))
    series = {
        "rss_bytes": ([each.rss_bytes for each in early], [each.rss_bytes for each in late]),
        "handles": ([each.handles for each in early], [each.handles for each in late]),
        "threads": ([each.threads for each in early], [each.threads for each in late]),
        **{f"rows.{name}": ([e.rows[name] for e in early], [e.rows[name] for e in late]) for name in names},
    }
    growth = {name: median(after) / max(median(before), 1) - 1 for name, (before, after) in series.items()}
    statuses = asked.statuses()
    ended = statuses[Status.FINALIZED] + statuses[Status.FAILED] + statuses[Status.EXPIRED]
    return {
        "requests": len(asked.requests),
        "statuses": {status.name.lower(): count for status, count in statuses.items()},
        "unanswered": len(asked.requests) - ended,
        "growth": {name: round(share, 3) for name, share in growth.items()},
        "grows": sorted(
            name
            for name, share in growth.items()
            if share > MAX_GROWTH and (not name.startswith("rows.") or samples[-1].at_s > ROWS_AFTER_S)
        ),
        "first": asdict(samples[0]),
        "last": asdict(samples[-1]),
    }


def table(found: dict[str, object]) -> str:
    """For people."""
    return "\n".join(f"{name}: {value}" for name, value in found.items())


if __name__ == "__main__":
    sys.exit(main())
