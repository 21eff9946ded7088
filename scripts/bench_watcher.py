"""How many results a second a watcher brings on chain, how soon, and what that costs beside running the model.

An anvil makes a block each second; `sworn watch` runs as operators run it, in a process of its own, with a small exact
model; another process sends requests that were signed before. ``single`` proposes each result alone, ``batched``
together; ``finalized`` is the same watcher after the windows, which the chain's clock is moved past. ``plain_loop`` is
a plain loop over web3: run the model, propose, wait for the receipt, one after the other. Blocks are counted from the
block of a request to that of its result, at a steady rate. ``--scale N`` times N requests in one go, by the thousand;
``--past N`` times the start of a watcher with N requests behind it, which a node that makes them up serves, as no
anvil could hold them. With ``--json``, as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from plain_loop import plain_loop
from sworn.codec.tensors import decode_tensors
from sworn.engine.protocol import RunLimits
from sworn.engine.serving import ServingEngine
from watcher_load import Events, feeding, signed
from watcher_past import past
from watcher_stage import WINDOW_S, Stage, Watching, rpc, staged, watching

#: Runs of the engine alone that are timed.
_ENGINE_RUNS: Final = 200
_PATIENCE_S: Final = 300.0


def main() -> int:
    """Runs the command line; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--single", type=int, default=1_000, help="requests that are proposed one by one")
    parser.add_argument("--batched", type=int, default=12_000, help="requests that are proposed together")
    parser.add_argument("--plain", type=int, default=8, help="requests of the plain loop")
    parser.add_argument("--rate", type=float, default=100.0, help="requests a second of the steady load")
    parser.add_argument("--steady", type=float, default=20.0, help="seconds of the steady load; 0 leaves it out")
    parser.add_argument("--scale", type=int, default=0, help="only: so many requests in one go")
    parser.add_argument("--past", type=int, default=0, help="only: a start with so many requests behind it")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-watcher-") as folder, staged(Path(folder), port=_port()) as stage:
        if arguments.past:
            found = past(stage, arguments.past)
        elif arguments.scale:
            found = scale(stage, arguments.scale)
        else:
            found = measure(stage, arguments)
    found["cores"] = os.cpu_count()
    print(json.dumps(found, indent=1) if arguments.json else table(found))
    return 0


def measure(stage: Stage, arguments: argparse.Namespace) -> dict[str, Any]:
    """The figures of the default run."""
    engine_s = engine_seconds(stage)
    single = drained(stage, "single", arguments.single, max_results=1)
    batched = drained(stage, "batched", arguments.batched, max_results=100, first_salt=10**6)
    found: dict[str, Any] = {
        "results_per_s": {
            "single": single["proposed"],
            "batched": batched["proposed"],
            "plain_loop": round(plain_loop(stage, arguments.plain, first_salt=3 * 10**6), 2),
        },
        "finalized_per_s": {"single": single["finalized"], "batched": batched["finalized"]},
        "transactions": {"single": single["transactions"], "batched": batched["transactions"]},
        "cpu_ms_per_result": {"single": single["cpu_ms"], "batched": batched["cpu_ms"]},
        "engine_ms": round(engine_s * 1e3, 3),
    }
    if batched["proposed"]:
        found["overhead_over_engine_ms"] = round(1e3 / batched["proposed"] - engine_s * 1e3, 3)
    if arguments.steady:
        found["blocks_to_proposed"] = steady(stage, rate=arguments.rate, seconds=arguments.steady)
    return found


def engine_seconds(stage: Stage) -> float:
    """Median time of one run of the model, through the worker process that a watcher uses."""
    inputs = decode_tensors(stage.payloads[0], stage.model.schema.inputs)
    with ServingEngine() as engine:
        spent = [_seconds(lambda: engine.run(stage.model, inputs, limits=RunLimits())) for _ in range(_ENGINE_RUNS)]
    return sorted(spent)[_ENGINE_RUNS // 2]


def drained(stage: Stage, name: str, count: int, *, max_results: int, first_salt: int = 0) -> dict[str, Any]:
    """Results a second of a backlog, proposed and then finalized; from the block of the first request on."""
    if not count:
        return {"proposed": 0.0, "finalized": 0.0, "transactions": 0, "cpu_ms": {}}
    asks = signed(stage, count, first_salt=first_salt)
    sender = stage.signers[2].address
    nonce = stage.gateway.nonce(sender)
    with watching(stage, name, max_results=max_results) as watcher:
        events = Events(stage)
        with feeding(stage, asks, per_s=None):
            done = events.wait("ResultProposed", count, within_s=_PATIENCE_S)
        _require(done, f"{len(events.blocks['ResultProposed'])} of {count} results were proposed", watcher)
        span_s = max(events.blocks["ResultProposed"].values()) - min(events.blocks["InferenceRequested"].values())
        spent = watcher.processors.since()
        rpc(stage.url, "evm_increaseTime", WINDOW_S + 2)
        begun = stage.gateway.block("latest").number + 1
        done = events.wait("ResultFinalized", count, within_s=_PATIENCE_S)
        _require(done, f"{len(events.blocks['ResultFinalized'])} of {count} results were finalized", watcher)
        ended_s = max(events.blocks["ResultFinalized"].values()) - begun
    return {
        "proposed": round(count / max(span_s, 1), 1),
        "finalized": round(count / max(ended_s, 1), 1),
        "transactions": stage.gateway.nonce(sender) - nonce,
        # Up to the last proposal.
        "cpu_ms": {name: round(seconds * 1e3 / count, 3) for name, seconds in spent.items()},
    }


def steady(stage: Stage, *, rate: float, seconds: float) -> dict[str, float]:
    """Blocks from request to result under a load that does not pile up."""
    asks = signed(stage, int(rate * seconds), first_salt=2 * 10**6)
    with watching(stage, "steady") as watcher:
        events = Events(stage)
        with feeding(stage, asks, per_s=rate):
            done = events.wait("ResultProposed", len(asks), within_s=seconds + _PATIENCE_S)
        _require(done, "not every request of the steady load was answered", watcher)
        asked, answered = events.blocks["InferenceRequested"], events.blocks["ResultProposed"]
        waits = sorted(answered[request] - block for request, block in asked.items())
    return {"p50": _percentile(waits, 50), "p95": _percentile(waits, 95), "most": waits[-1], "rate": rate}


def scale(stage: Stage, count: int) -> dict[str, Any]:
    """Seconds per thousand results, as the number of requests that there ever were grows."""
    asks = signed(stage, count, first_salt=0)
    tenths = [count * part // 10 for part in range(11)]
    with watching(stage, "scale") as watcher:
        events = Events(stage)
        spent = [0.0]
        with feeding(stage, asks, per_s=None):
            for end in tenths[1:]:
                done = events.wait("ResultProposed", end, within_s=count / 20 + _PATIENCE_S)
                _require(done, f"{len(events.blocks['ResultProposed'])} of {count} came", watcher)
                spent.append(watcher.processors.since()["watcher"])
        blocks = sorted(events.blocks["ResultProposed"].values())
        first = min(events.blocks["InferenceRequested"].values())
    marks = [first, *(blocks[end - 1] for end in tenths[1:])]
    return {
        "requests": count,
        "seconds_per_1000": _per_thousand(tenths, marks),
        # The same on a busy machine; a tenth ends where it is noticed, so that neighbours differ a little.
        "processor_seconds_per_1000": _per_thousand(tenths, spent),
        "results_per_s": round(count / max(blocks[-1] - first, 1), 1),
    }


def _per_thousand(ends: Sequence[int], marks: Sequence[float]) -> dict[str, float]:
    """What grew from mark to mark, per thousand requests, by the end of each part."""
    parts = zip(pairwise(ends), pairwise(marks), strict=True)
    return {str(end): round((after - before) * 1_000 / (end - start), 2) for (start, end), (before, after) in parts}


def _require(done: bool, what: str, watcher: Watching) -> None:
    if not done:
        raise SystemExit(f"{what}\n{(watcher.folder / 'log').read_text()[-4000:]}")


def _percentile(ordered: Sequence[int], percent: int) -> int:
    return ordered[min(len(ordered) * percent // 100, len(ordered) - 1)]


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def table(found: Mapping[str, Any], indent: str = "") -> str:
    """The numbers as people read them."""
    lines = []
    for name, value in found.items():
        if isinstance(value, Mapping):
            lines += [f"{indent}{name}", table(value, indent + "  ")]
        else:
            lines.append(f"{indent}{name:28}{value:>14}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
