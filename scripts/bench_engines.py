"""Runs per second of one and two workers, in a pool and on Ray, and what a run costs beside the model; or as JSON.

Models for throughput are bound by the processor, in profile exact, one thread: light_squeezenet, whose runs are so
short (30 ms) that carrying an image to them is a part of their cost, and light_resnet50, the common size (a quarter of
a second). One and two workers take turns, several rounds, and the median of the rounds' ratios counts, since other work
on the machine slows both. Processor time is that of all processes together: on two processors, twice the time of one
run over its processor time is the most that two workers can gain. Nothing is compared with a limit.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import psutil

import sworn
from gallery_light import SEED, light_network
from sworn.engine import IdentifiedModel, ModelSource, RunLimits
from sworn.engine.process import Processes
from sworn.engine.ray_workforce import RayPlacement, RayWorkforce
from sworn.engine.serving import ServingEngine
from sworn.engine.workers import Workforce
from sworn.testing import gallery
from sworn.types import Profile, Tensors

HEAVY = ("squeezenet", "resnet50")
SMALL = "mlp"
LIMITS = RunLimits(timeout_s=120.0, load_timeout_s=600.0)
KINDS = ("pool", "ray")


def main() -> int:
    """Runs the command line; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--only", nargs="+", choices=KINDS, default=KINDS, help="leave the other out")
    parser.add_argument("--models", nargs="+", choices=HEAVY, default=HEAVY, help="leave the other out")
    parser.add_argument("--seconds", type=float, default=6.0, help="how long each engine works in a round")
    parser.add_argument("--rounds", type=int, default=5, help="how often one and two workers take turns")
    arguments = parser.parse_args()
    report = {kind: measured(kind, arguments) for kind in arguments.only}
    report["machine"] = {"processors": os.cpu_count() or 0, "load_before": round(os.getloadavg()[2], 2)}
    print(json.dumps(report, indent=1) if arguments.json else table(report))
    return 0


def measured(kind: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Throughput of one and two workers by model, and overheads of one, for one kind of workers."""
    with ExitStack() as closing:
        engines = [closing.enter_context(engine(kind, workers)) for workers in (1, 2)]
        return {
            **{name: gained(engines, name, arguments) for name in arguments.models},
            **overheads(engines[0]),
        }


def gained(engines: Sequence[ServingEngine], name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Throughput of one and of two workers on one model, and what they have in common."""
    model = engines[0].identify(ModelSource(artifact=light_network(name)), limits=LIMITS)
    for each in engines:
        each.warm(model, limits=LIMITS)
    inputs = random_inputs(model)
    pairs = [
        [rate(each, model, inputs, seconds=arguments.seconds) for each in engines] for _ in range(arguments.rounds)
    ]
    return {
        "one_per_s": round(statistics.median(one.per_s for one, _ in pairs), 3),
        "two_per_s": round(statistics.median(two.per_s for _, two in pairs), 3),
        "speedup": round(statistics.median(two.per_s / one.per_s for one, two in pairs), 3),
        "speedups": [round(two.per_s / one.per_s, 3) for one, two in pairs],
        "one_processor_ms": round(statistics.median(one.processor_ms for one, _ in pairs), 2),
        "two_processor_ms": round(statistics.median(two.processor_ms for _, two in pairs), 2),
    }


@contextmanager
def engine(kind: str, workers: int) -> Iterator[ServingEngine]:
    """An engine of a kind; those on Ray share a cluster."""
    workforce: Workforce = Processes() if kind == "pool" else RayWorkforce(RayPlacement(), workers=3)
    with ServingEngine(workers=workers, workforce=workforce) as made:
        yield made


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """What an engine did in a round."""

    per_s: float
    #: Of one run, all processes together, those of Ray too.
    processor_ms: float


def rate(engine: ServingEngine, model: IdentifiedModel, inputs: Tensors, *, seconds: float) -> Rate:
    """Runs per second with as many callers as keep every worker busy."""
    callers = 2 * engine.load().slots
    stop = time.perf_counter() + seconds
    done: list[float] = []

    def work() -> None:
        while time.perf_counter() < stop:
            engine.run(model, inputs, limits=LIMITS)
            done.append(time.perf_counter())

    begun, spent = time.perf_counter(), processor_s()
    threads = [threading.Thread(target=work) for _ in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Rate(per_s=len(done) / (max(done) - begun), processor_ms=(processor_s() - spent) / len(done) * 1e3)


def processor_s() -> float:
    """Processor time of this process and of all that it has started and that still run."""
    own = psutil.Process()
    total = 0.0
    for process in (own, *own.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def overheads(engine: ServingEngine) -> dict[str, float]:
    """Milliseconds of one run of a small model beside the model's own, and of one that brings its trace."""
    artifact, inputs = gallery.load(SMALL), gallery.rows(SMALL)[0].inputs
    exact = engine.identify(ModelSource(artifact=artifact))
    bounded = engine.identify(ModelSource(artifact=artifact, profile=Profile.BOUNDED))
    compiled = sworn.compile_model(artifact)
    arrays = [inputs[spec.name] for spec in compiled.schema.inputs]
    with TemporaryDirectory(prefix="sworn-bench-") as folder:

        def traced() -> None:
            path = Path(folder) / "trace"
            engine.run(bounded, inputs, trace_file=path)
            path.unlink()

        plain = median_ms(lambda: compiled.executor.run(arrays), 500)
        return {
            "overhead_ms": round(median_ms(lambda: engine.run(exact, inputs), 500) - plain, 3),
            "traced_ms": round(median_ms(traced, 50), 3),
        }


def median_ms(work: Callable[[], object], times: int) -> float:
    """The median time of a call, the first ones left out."""
    spent = []
    for _ in range(times + 5):
        begun = time.perf_counter()
        work()
        spent.append(time.perf_counter() - begun)
    return statistics.median(spent[5:]) * 1e3


def random_inputs(model: IdentifiedModel) -> Tensors:
    """Standard normal values, seeded."""
    generator = np.random.default_rng(SEED)
    shapes: dict[str, Sequence[int]] = {spec.name: [size or 1 for size in spec.shape] for spec in model.schema.inputs}
    return {name: generator.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()}


def table(report: dict[str, Any]) -> str:
    """The numbers as people read them."""
    lines = [f"{'':6}{'model':>12}{'one':>12}{'two':>12}{'speed-up':>10}{'processor':>12}"]
    for kind, name in itertools.product(KINDS, HEAVY):
        found = report.get(kind, {}).get(name)
        if found is not None:
            cells = (f"{found['one_per_s']}/s", f"{found['two_per_s']}/s", f"{found['two_processor_ms']} ms")
            lines.append(f"{kind:6}{name:>12}{cells[0]:>12}{cells[1]:>12}{found['speedup']:>10}{cells[2]:>12}")
    lines += [
        f"{kind:6}{SMALL:>12}  {report[kind]['overhead_ms']} ms beside the model, {report[kind]['traced_ms']} ms traced"
        for kind in KINDS
        if kind in report
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
