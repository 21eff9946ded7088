"""Runs a watcher at a steady load and prints what of it grows: memory, file handles, threads, rows, files.

A chain whose blocks come every second and are half a day apart, so that what is kept for months goes within minutes;
three endpoints, no faults; a model in profile exact, and another input in every request, so that the journal of outputs
by input has something to keep. ``growth`` compares the last quarter of the samples with the second one, so that
start-up does not count; threads by their maxima, as pools start theirs one by one. Rows are also held against what the
load and the retention allow; ``statements`` is kept for ever, and is held against the number of requests. With
``--json``, as JSON. The exit status is 1 where anything grows by more than a tenth, a table has more rows than it may,
or an answer is missing.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Final

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.chaos.asked import Asked
from tests.chaos.crew import Crew
from tests.chaos.storm import Storm
from tests.support.watcher_world import ETHER, WINDOW_S, open_world

from sworn.testing.anvil import AnvilChain
from sworn.types import Profile, Status
from sworn.watcher.store.pruning import KEPT_NONCES, MAX_EXTENSION_S
from sworn.watcher.store.tables import ATTEMPTS, JOBS, METADATA, SIGNED_DIGESTS, STATEMENTS, TRANSACTIONS

BLOCK_S: Final = 43_200
LIFE_S: Final = 30 * 86_400
#: Seconds for which rows that are over are kept, and between two looks for them.
KEEP_S, INTERVAL_S = 60, 30.0
#: Seconds that a request takes here, from its block to its end, and that a look for old rows may come late.
DONE_S: Final = 60.0
SAMPLE_S: Final = 20.0
#: Seconds that a watcher may take to start, on a machine that is busy with other things.
START_S: Final = 120.0
#: The most that the write-ahead log may have: its file keeps the length that it once had.
LOG_BYTES: Final = 32 << 20
#: The most by which anything may grow.
MAX_GROWTH: Final = 0.1
#: Transactions for one request: one that answers it, one that ends it.
MOVES: Final = 2
#: What every table has, with its indexes.
_SIZES: Final = "SELECT tbl_name, sum(pgsize) FROM dbstat JOIN sqlite_master USING (name) GROUP BY tbl_name"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What a watcher uses at some moment."""

    at_s: float
    requests: int
    rss_bytes: int
    handles: int
    threads: int
    rows: dict[str, int]
    #: Of the database's file: all of it, what is free in it, and what some tables have; and its write-ahead log.
    file_bytes: int
    free_bytes: int
    statements_bytes: int
    transactions_bytes: int
    log_bytes: int

    @property
    def other_bytes(self) -> int:
        """What all tables have but the one that keeps everything, and but transactions.

        Of these the newest are kept, however large they are: a busy machine puts more answers into each.
        """
        return self.file_bytes - self.free_bytes - self.statements_bytes - self.transactions_bytes


def main() -> int:
    """Runs the command line; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--seconds", type=float, default=3600.0, help="how long")
    parser.add_argument("--per-block", type=int, default=4, help="requests in every block")
    parser.add_argument("--samples", type=Path, help="write every sample here, a line of JSON each, as it is taken")
    arguments = parser.parse_args()
    with ExitStack() as ending, tempfile.TemporaryDirectory(prefix="sworn-soak-") as folder:
        samples, asked = soak(ending, Path(folder), arguments)
        found = report(samples, asked, per_s=arguments.per_block)
    print(json.dumps(found, indent=1) if arguments.json else table(found))
    return 0 if not found["grows"] and not found["unanswered"] else 1


def soak(ending: ExitStack, folder: Path, arguments: argparse.Namespace) -> tuple[list[Sample], Asked]:
    """Runs for so long, and until every request has ended; samples, and what was asked."""
    chain = AnvilChain()
    ending.callback(chain.close)
    world = open_world(chain, stake_wei=100 * ETHER, profile=Profile.EXACT)
    storm = Storm(chain=chain, block_s=BLOCK_S)
    asked = Asked(world=world, storm=storm, life_s=LIFE_S, late_every=0)
    file = folder / "watcher.db"
    crew = Crew(
        world=world,
        folder=folder,
        database_url=f"sqlite:///{file}",
        urls=(chain.url,) * 3,
        keep_rows_s=KEEP_S,
        prune_interval_s=INTERVAL_S,
        profile=Profile.EXACT,
    )
    ending.callback(crew.end)
    samples: list[Sample] = []
    crew.keep_running()
    await_start(crew)
    started = time.monotonic()
    while (now := time.monotonic() - started) < arguments.seconds:
        asked.ask(arguments.per_block)
        storm.tick()
        if now >= SAMPLE_S * (len(samples) + 1):
            samples.append(sample(crew.pids()[0], file, at_s=now, requests=len(asked.requests)))
            if arguments.samples is not None:
                with arguments.samples.open("a") as lines:
                    lines.write(json.dumps(asdict(samples[-1])) + "\n")
        time.sleep(max(0.0, 1.0 - (time.monotonic() - started - now)))
    for _ in range(120):
        storm.tick()
        time.sleep(0.5)
    asked.expire()
    storm.tick()
    return samples, asked


def await_start(crew: Crew) -> None:
    """Waits until the watcher serves."""
    waits_until = time.monotonic() + START_S
    while "watcher_started" not in crew.log():
        if not crew.pids() or time.monotonic() > waits_until:
            raise SystemExit(f"the watcher does not start: {crew.log()[-2_000:]}")
        time.sleep(0.2)


def sample(pid: int, file: Path, *, at_s: float, requests: int) -> Sample:
    """What the process and its database have now; nobody waits for it."""
    process = psutil.Process(pid)
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        connection.execute("BEGIN")

        def number(query: str) -> int:
            return int(connection.execute(query).fetchone()[0] or 0)

        rows = {name: number(f"SELECT count(*) FROM {name}") for name in METADATA.tables}  # noqa: S608 -- our names
        page_bytes, pages = number("PRAGMA page_size"), number("PRAGMA page_count")
        free = number("PRAGMA freelist_count")
        bytes_of = dict.fromkeys(METADATA.tables, 0)
        for name, size in connection.execute(_SIZES):
            bytes_of[name] = size
    log = file.with_name(f"{file.name}-wal")
    return Sample(
        at_s=at_s,
        requests=requests,
        rss_bytes=process.memory_info().rss,
        handles=process.num_fds(),
        threads=process.num_threads(),
        rows=rows,
        file_bytes=page_bytes * pages,
        free_bytes=page_bytes * free,
        statements_bytes=bytes_of[STATEMENTS.name],
        transactions_bytes=bytes_of[TRANSACTIONS.name] + bytes_of[ATTEMPTS.name],
        log_bytes=log.stat().st_size if log.exists() else 0,
    )


def allowed(per_s: float) -> dict[str, float]:
    """The most rows that tables may have under a load; there is nothing here that fills the others."""
    # One second is one block; the newest rows have not ended, the oldest wait for the next look.
    past_s = (LIFE_S + WINDOW_S + MAX_EXTENSION_S + KEEP_S) / BLOCK_S
    jobs = per_s * (max(past_s, DONE_S + KEEP_S) + INTERVAL_S + DONE_S)
    transactions = per_s * MOVES * (DONE_S + KEEP_S + INTERVAL_S + DONE_S) + KEPT_NONCES
    return {
        JOBS.name: jobs,
        SIGNED_DIGESTS.name: jobs,
        TRANSACTIONS.name: transactions,
        # Some are sent a second time at a higher fee.
        ATTEMPTS.name: 2 * transactions,
    }


def report(samples: list[Sample], asked: Asked, *, per_s: float) -> dict[str, object]:
    """Samples of the second and the last quarter against each other, and what became of the requests."""
    growth = {name: share for name, share in growths(samples).items() if name != f"rows.{STATEMENTS.name}"}
    most = {name: max(each.rows[name] for each in samples) for name in METADATA.tables}
    limits = allowed(per_s) | {STATEMENTS.name: len(asked.requests)}
    statuses = asked.statuses()
    ended = statuses[Status.FINALIZED] + statuses[Status.FAILED] + statuses[Status.EXPIRED]
    last, log_bytes = samples[-1], max(each.log_bytes for each in samples)
    return {
        "requests": len(asked.requests),
        "statuses": {status.name.lower(): count for status, count in statuses.items()},
        "unanswered": len(asked.requests) - ended,
        "growth": {name: round(share, 3) for name, share in growth.items()},
        "rows": {name: {"most": most[name], "allowed": round(limit)} for name, limit in limits.items()},
        "log_bytes": log_bytes,
        "statement_bytes": round(last.statements_bytes / max(last.rows[STATEMENTS.name], 1)),
        "grows": sorted(
            [name for name, share in growth.items() if share > MAX_GROWTH]
            + [f"rows.{name}" for name, limit in limits.items() if most[name] > limit]
            + (["log_bytes"] if log_bytes > LOG_BYTES else [])
        ),
        "first": asdict(samples[0]),
        "last": asdict(last),
    }


def growths(samples: list[Sample]) -> dict[str, float]:
    """By what part of itself everything is more in the last quarter than in the second, at the median."""
    quarter = max(len(samples) // 4, 1)
    early, late = samples[quarter : 2 * quarter] or samples, samples[-quarter:]
    series = {
        name: [[getattr(each, name) for each in some] for some in (early, late)]
        for name in ("rss_bytes", "handles", "threads", "other_bytes")
    }
    for name in METADATA.tables:
        if any(each.rows[name] for each in samples):
            series[f"rows.{name}"] = [[each.rows[name] for each in some] for some in (early, late)]
    typical = {name: max if name == "threads" else median for name in series}
    return {name: typical[name](after) / max(typical[name](before), 1) - 1 for name, (before, after) in series.items()}


def table(found: dict[str, object]) -> str:
    """For people."""
    return "\n".join(f"{name}: {value}" for name, value in found.items())


if __name__ == "__main__":
    sys.exit(main())
