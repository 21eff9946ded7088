"""Runs per second of one and two workers, in a pool and on Ray, and what a run costs beside the model; or as JSON.

The model for throughput is bound by the processor: light_squeezenet in profile exact, one thread. One and two workers
take turns, several rounds, and the median of the rounds' ratios counts, since other work on the machine slows both.
Nothing is compared with a limit.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

import sworn
from gallery_light import SEED, light_network
from sworn.engine import IdentifiedModel, ModelSource, RunLimits
from sworn.engine.process import Processes
from sworn.engine.ray_workforce import RayPlacement, RayWorkforce
from sworn.engine.serving import ServingEngine
from sworn.engine.workers import Workforce
from sworn.testing import gallery
from sworn.types import Profile, Tensors

HEAVY = "squeezenet"
SMALL = "mlp"
LIMITS = RunLimits(timeout_s=120.0, load_timeout_s=600.0)
KINDS = ("pool", "ray")


def main() -> int:
    """Runs the command line; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--only", nargs="+", choices=KINDS, default=KINDS, help="leave the other out")
    parser.add_argument("--seconds", type=float, default=6.0, help="how long each engine works in a round")
    parser.add_argument("--rounds", type=int, default=5, help="how often one and two workers take turns")
    arguments = parser.parse_args()
    report = {kind: measured(kind, seconds=arguments.seconds, rounds=arguments.rounds) for kind in arguments.only}
    report["machine"] = {"processors": os.cpu_count() or 0, "load_before": round(os.getloadavg()[2], 2)}
    print(json.dumps(report, indent=1) if arguments.json else table(report))
    return 0


def measured(kind: str, *, seconds: float, rounds: int) -> dict[str, Any]:
    """Throughput of one and two workers, and overheads of one, for one kind of workers."""
    artifact = light_network(HEAVY)
    with ExitStack() as closing:
        engines = [closing.enter_context(engine(kind, workers)) for workers in (1, 2)]
        model = engines[0].identify(ModelSource(artifact=artifact), limits=LIMITS)
        for each in engines:
            each.warm(model, limits=LIMITS)
        inputs = random_inputs(model)
        pairs = [[rate(each, model, inputs, seconds=seconds) for each in engines] for _ in range(rounds)]
        return {
            "one_per_s": round(statistics.median(one for one, _ in pairs), 3),
            "two_per_s": round(statistics.median(two for _, two in pairs), 3),
            "speedup": round(statistics.median(two / one for one, two in pairs), 3),
            "speedups": [round(two / one, 3) for one, two in pairs],
            **overheads(engines[0]),
        }


@contextmanager
def engine(kind: str, workers: int) -> Iterator[ServingEngine]:
    """An engine of a kind; those on Ray share a cluster."""
    workforce: Workforce = Processes() if kind == "pool" else RayWorkforce(RayPlacement(), workers=4)
    with ServingEngine(workers=workers, workforce=workforce) as made:
        yield made


def rate(engine: ServingEngine, model: IdentifiedModel, inputs: Tensors, *, seconds: float) -> float:
    """Runs per second with as many callers as keep every worker busy."""
    callers = 2 * engine.load().slots
    stop = time.perf_counter() + seconds
    done: list[float] = []

    def work() -> None:
        while time.perf_counter() < stop:
            engine.run(model, inputs, limits=LIMITS)
            done.append(time.perf_counter())

    begun = time.perf_counter()
    threads = [threading.Thread(target=work) for _ in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(done) / (max(done) - begun)


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
    lines = [f"{'':6}{'one':>12}{'two':>12}{'speed-up':>10}{'overhead':>12}{'traced':>12}"]
    for kind in KINDS:
        if kind in report:
            found = report[kind]
            cells = (f"{found['one_per_s']}/s", f"{found['two_per_s']}/s")
            times = (f"{found['overhead_ms']} ms", f"{found['traced_ms']} ms")
            lines.append(f"{kind:6}{cells[0]:>12}{cells[1]:>12}{found['speedup']:>10}{times[0]:>12}{times[1]:>12}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
