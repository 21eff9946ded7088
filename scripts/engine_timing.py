"""Times functions against each other on a machine that has other things to do: by the processor's clock, in turns.

What is timed runs on one thread, so that processor time is the time that it takes on a machine of its own.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import onnxruntime

#: All functions together are timed for about this long, in at least so many turns of at least so long each.
MEASURED_S, LEAST_TURNS, TURN_S = 8.0, 7, 0.005
MAX_TURNS = 201


def plain_session(artifact: bytes) -> Any:
    """The model in onnxruntime, on one thread, with every optimisation."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    # Old files list their weights as inputs too, which onnxruntime remarks upon.
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(artifact, options, providers=["CPUExecutionProvider"])


def in_turns(runs: Sequence[Callable[[], object]], *, measured_s: float = MEASURED_S) -> list[float]:
    """Median processor seconds of functions that are called in turns, each turn long enough for the clock."""
    calls = [max(1, round(TURN_S / max(min(seconds(run, 1) for _ in range(3)), 1e-7))) for run in runs]
    samples: list[list[float]] = [[] for _ in runs]
    end = time.perf_counter() + measured_s
    while len(samples[0]) < LEAST_TURNS or (time.perf_counter() < end and len(samples[0]) < MAX_TURNS):
        for run, count, column in zip(runs, calls, samples, strict=True):
            column.append(seconds(run, count))
    return [statistics.median(column) for column in samples]


def seconds(run: Callable[[], object], calls: int = 1) -> float:
    """Processor seconds per call, those of the system for it included."""
    started = time.process_time()
    for _ in range(calls):
        run()
    return (time.process_time() - started) / calls
