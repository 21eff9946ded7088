"""The engine on models that hang, grow, crash or get killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import psutil
import pytest
from tests.support import graphs, workforces
from tests.support.workforces import KINDS, is_gone, until

from sworn.engine import RunLimits
from sworn.engine.onnx_engine import OnnxEngine
from sworn.engine.process import ProcessWorker
from sworn.engine.workers import Workforce
from sworn.errors import EngineError, RunFailed, RunOutOfMemory, RunTimedOut, WorkerCrashed

LIMITS = RunLimits(timeout_s=30.0, memory_bytes=256 << 20)
PAIR = {"x": np.array([3, 4], dtype=np.float32), "y": np.array([1, 1], dtype=np.float32)}
X = {"x": np.array([1, -1], dtype=np.float32)}
TRAP = {"x": np.array([-(2**31)], dtype=np.int32), "by": np.array([-1], dtype=np.int32)}


@pytest.fixture(scope="module", params=KINDS)
def workforce(request: pytest.FixtureRequest) -> Iterator[Workforce]:
    """Where the workers are: limits hold everywhere."""
    with workforces.workforce(request.param) as found:
        yield found


@pytest.fixture
def engine(workforce: Workforce) -> Iterator[OnnxEngine]:
    """An engine with a running worker."""
    with OnnxEngine(workforce=workforce) as running:
        running.run(graphs.adder(), PAIR, limits=LIMITS)
        yield running


def in_background(call: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    """Starts a call on another thread; the list will hold its value or its error."""
    outcome: list[object] = []

    def work() -> None:
        try:
            outcome.append(call())
        except EngineError as error:
            outcome.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    return thread, outcome


def cpu_s(pid: int) -> float:
    """For how long a process has computed."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def kill_once_loaded(engine: OnnxEngine, *, sessions_built: int) -> None:
    """Kills the only worker as soon as the engine has loaded so many models."""
    assert until(lambda: engine.sessions_built == sessions_built)
    (pid,) = engine.worker_pids
    os.kill(pid, signal.SIGKILL)


def works(engine: OnnxEngine) -> bool:
    """Whether an engine still adds."""
    return np.array_equal(engine.run(graphs.adder(), PAIR, limits=LIMITS)["total"], [4, 5])


def test_run_over_its_time_is_killed_and_the_next_gets_a_fresh_worker(engine: OnnxEngine) -> None:
    """An endless loop ends at its limit, with its process."""
    (old,) = engine.worker_pids
    began = time.monotonic()
    with pytest.raises(RunTimedOut):
        engine.run(graphs.endless_loop(), X, limits=RunLimits(timeout_s=0.5))
    assert 0.5 <= time.monotonic() - began < 5
    assert until(lambda: is_gone(old))
    assert works(engine) and engine.worker_pids != (old,)


def test_run_with_a_huge_allocation_is_refused_at_once(engine: OnnxEngine) -> None:
    """40 GB asked for in one piece are `RunOutOfMemory`."""
    inputs = {"x": np.ones(1, dtype=np.float32), "size": np.array([10**10])}
    with pytest.raises(RunOutOfMemory):
        engine.run(graphs.expander(), inputs, limits=LIMITS)
    assert works(engine)


def test_run_within_its_memory_succeeds_where_more_would_not(engine: OnnxEngine) -> None:
    """The limit lies where it is set: 160 MB pass under 256 MiB, 400 MB do not."""

    def total(size: int) -> float:
        inputs = {"x": np.ones(1, dtype=np.float32), "size": np.array([size])}
        return float(engine.run(graphs.expander(), inputs, limits=LIMITS)["y"])

    assert total(40_000_000) == 40_000_000
    with pytest.raises(RunOutOfMemory):
        total(100_000_000)
    assert works(engine)


def test_run_that_touches_more_memory_than_allowed_is_killed_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel sets no limit, the watch sees the memory grow and kills."""
    engine = OnnxEngine()
    assert works(engine)
    (pid,) = engine.worker_pids
    soon_s = cpu_s(pid) + 0.2
    (worker,) = engine.pool._idle
    assert isinstance(worker, ProcessWorker)
    process = worker._process
    monkeypatch.setattr(process, "used_bytes", lambda: 10 << 30 if cpu_s(pid) > soon_s else 0)
    with engine:
        with pytest.raises(RunOutOfMemory):
            engine.run(graphs.endless_loop(), X, limits=LIMITS)
        assert works(engine)


def test_load_that_needs_too_much_memory_is_refused(engine: OnnxEngine) -> None:
    """A constant of 40 GB that would be folded while loading counts as the run's memory."""
    with pytest.raises(RunOutOfMemory):
        engine.run(graphs.constant_bomb(10**10), {"x": np.ones(1, dtype=np.float32)}, limits=LIMITS)
    assert works(engine)


def test_load_over_its_time_is_killed(engine: OnnxEngine) -> None:
    """Loading has a limit of its own."""
    (old,) = engine.worker_pids
    os.kill(old, signal.SIGSTOP)
    with pytest.raises(RunTimedOut):
        engine.run(graphs.unary("Neg"), X, limits=RunLimits(load_timeout_s=0.3))
    assert until(lambda: is_gone(old)) and works(engine)


def test_model_that_crashes_the_runtime_fails_and_the_engine_recovers(engine: OnnxEngine) -> None:
    """The smallest integer by minus one traps inside onnxruntime; the run fails, the next one works."""
    with pytest.raises(RunFailed):
        engine.run(graphs.integer_divider(), TRAP, limits=LIMITS)
    assert works(engine)


def test_worker_killed_while_idle_is_replaced(engine: OnnxEngine) -> None:
    """The next run starts another."""
    (old,) = engine.worker_pids
    os.kill(old, signal.SIGKILL)
    assert until(lambda: is_gone(old))
    assert works(engine) and engine.worker_pids != (old,)


def test_worker_killed_once_by_a_stranger_is_replaced_and_twice_fails_the_run(engine: OnnxEngine) -> None:
    """A stray kill does not blame the model: the run starts over once; a second death does."""
    thread, outcome = in_background(lambda: engine.run(graphs.endless_loop(), X, limits=LIMITS))
    kill_once_loaded(engine, sessions_built=2)
    kill_once_loaded(engine, sessions_built=3)
    thread.join(timeout=10)
    assert [type(error) for error in outcome] == [WorkerCrashed]
    assert works(engine)


def test_engine_closed_during_a_run_ends_it_without_blaming_the_model(engine: OnnxEngine) -> None:
    """A run that shutdown interrupts raises a bare `EngineError`: no failure may be sworn for it."""
    (pid,) = engine.worker_pids
    soon_s = cpu_s(pid) + 0.2
    thread, outcome = in_background(lambda: engine.run(graphs.endless_loop(), X, limits=LIMITS))
    assert until(lambda: cpu_s(pid) > soon_s)
    engine.close()
    thread.join(timeout=10)
    assert [type(error) for error in outcome] == [EngineError]
    assert until(lambda: is_gone(pid))


def test_engine_whose_process_is_killed_leaves_no_orphan() -> None:
    """A worker in the middle of an endless run ends when its owner is killed."""
    program = textwrap.dedent(
        """
        import numpy, threading, time
        from sworn.engine.onnx_engine import OnnxEngine
        from tests.support import graphs
        engine = OnnxEngine()
        run = lambda: engine.run(graphs.endless_loop(), {"x": numpy.zeros(2, dtype="float32")})
        threading.Thread(target=run, daemon=True).start()
        while not engine.worker_pids:
            time.sleep(0.01)
        print(engine.worker_pids[0], flush=True)
        time.sleep(60)
        """
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        assert until(lambda: cpu_s(pid) > 1.0)
        owner.kill()
    assert until(lambda: is_gone(pid))


def test_worker_environment_holds_no_secrets(workforce: Workforce, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a watcher keeps in its environment does not reach the process that runs strangers' models."""
    monkeypatch.setenv("SWORN_KEYSTORE_PASSWORD", "correct horse")
    with OnnxEngine(workforce=workforce) as fresh:
        assert works(fresh)
        assert "SWORN_KEYSTORE_PASSWORD" not in psutil.Process(fresh.worker_pids[0]).environ()
