"""Workers on Ray: what is Ray's own. What every kind of worker promises is in the tests of the engines."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import psutil
import pytest
from tests.support import graphs
from tests.support.workforces import is_gone, until, workforce

import sworn
from sworn.engine import ModelSource, RunLimits, ray_workforce
from sworn.engine.onnx_engine import OnnxEngine
from sworn.engine.program_engine import ProgramEngine
from sworn.engine.ray_workforce import RayPlacement, RayWorkforce
from sworn.engine.serving import ServingEngine
from sworn.errors import ConfigurationError, EngineError
from sworn.model.trace_file import TraceFile
from sworn.testing import gallery
from sworn.types import Profile

PAIR = {"x": np.array([3, 4], dtype=np.float32), "y": np.array([1, 1], dtype=np.float32)}
X = {"x": np.array([1, -1], dtype=np.float32)}
LIMITS = RunLimits(timeout_s=30.0)
#: Ray's own warnings are not ours to mend.
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture
def ray() -> Iterator[RayWorkforce]:
    """A cluster for one test that harms it."""
    with workforce("ray") as found:
        assert isinstance(found, RayWorkforce)
        yield found


def actor_of(pid: int) -> int:
    """The process that keeps a worker's process."""
    parent = psutil.Process(pid).parent()
    assert parent is not None
    return parent.pid


def works(engine: OnnxEngine) -> bool:
    """Whether an engine still adds."""
    return np.array_equal(engine.run(graphs.adder(), PAIR, limits=LIMITS)["total"], [4, 5])


@pytest.mark.slow
def test_run_on_ray_gives_the_bits_and_the_trace_of_a_run_here(tmp_path: Path) -> None:
    """One cluster, one run that is traced: the same outputs, the same trace, and nothing is left running."""
    inputs = gallery.rows("mlp")[0].inputs
    with ServingEngine(workforce=RayWorkforce(RayPlacement(), workers=1)) as engine:
        model = engine.identify(ModelSource(artifact=gallery.load("mlp"), profile=Profile.BOUNDED))
        run = engine.run(model, inputs, trace_file=tmp_path / "trace")
        (pid,) = engine.worker_pids
    compiled = sworn.compile_model(gallery.load("mlp"), profile="bounded")
    assert TraceFile.load(tmp_path / "trace").trace_root == run.trace_root == compiled.trace(dict(inputs)).root
    assert until(lambda: is_gone(pid))
    assert [path.name for path in tmp_path.iterdir()] == ["trace"]


@pytest.mark.slow
def test_actor_that_is_killed_is_replaced_and_blames_no_model(ray: RayWorkforce) -> None:
    """A node that goes away in the middle of a run costs a second attempt; two of them are no failure of the model."""
    with OnnxEngine(workforce=ray) as engine:
        assert works(engine)
        (pid,) = engine.worker_pids
        os.kill(actor_of(pid), signal.SIGKILL)
        assert until(lambda: is_gone(pid))
        assert works(engine)
        outcome: list[EngineError] = []

        def endless() -> None:
            with pytest.raises(EngineError) as caught:
                engine.run(graphs.endless_loop(), X, limits=LIMITS)
            outcome.append(caught.value)

        thread = threading.Thread(target=endless)
        thread.start()
        for loads in (3, 4):
            assert until(lambda loads=loads: engine.sessions_built == loads)  # type: ignore[misc]
            (pid,) = engine.worker_pids
            os.kill(actor_of(pid), signal.SIGKILL)
        thread.join(20)
        assert type(outcome[0]) is EngineError
        assert works(engine)


@pytest.mark.slow
def test_cluster_that_cannot_take_a_worker_says_so(ray: RayWorkforce, monkeypatch: pytest.MonkeyPatch) -> None:
    """No room, another version of sworn, and no cluster at all are told apart."""
    with OnnxEngine(workforce=ray) as engine, monkeypatch.context() as patched:
        patched.setattr(ray_workforce, "code_digest", lambda: "another")
        with pytest.raises(ConfigurationError, match="another"):
            works(engine)
    monkeypatch.setattr(ray_workforce, "_PLACEMENT_TIMEOUT_S", 2.0)
    crowded = RayWorkforce(RayPlacement(resources={"gold": 1.0}), workers=1)
    with OnnxEngine(workforce=crowded) as engine, pytest.raises(EngineError, match="room"):
        works(engine)


@pytest.mark.slow
def test_cluster_that_is_not_there_says_so() -> None:
    """A wrong address is an engine that cannot work, not a model that failed."""
    absent = RayWorkforce(RayPlacement(address="127.0.0.1:1"), workers=1)
    with OnnxEngine(workforce=absent) as engine, pytest.raises(EngineError, match=r"engine\.ray\.address"):
        works(engine)
    absent.close()


def test_environment_for_ray_is_taken_back_and_what_was_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray reads its settings from the environment: other users of it in this process must not find ours."""
    chosen, *others = ray_workforce._ENVIRONMENT
    monkeypatch.setenv(chosen, "chosen")
    for name in others:
        monkeypatch.delenv(name, raising=False)
    before = dict(os.environ)
    with ray_workforce._undisturbed():
        assert {name: os.environ[name] for name in others} == {n: ray_workforce._ENVIRONMENT[n] for n in others}
        assert os.environ[chosen] == "chosen"
    assert dict(os.environ) == before


@pytest.mark.slow
def test_cluster_of_its_own_has_room_for_models_of_every_profile() -> None:
    """Programs and plain models have workers of their own: the second kind must not wait for the first one's places."""
    artifact, inputs = gallery.load("mlp"), gallery.rows("mlp")[0].inputs
    with ServingEngine(workforce=RayWorkforce(RayPlacement(resources={"trusted": 1.0}), workers=1)) as engine:
        for profile in (Profile.EXACT, Profile.SIGNED):
            model = engine.identify(ModelSource(artifact=artifact, profile=profile))
            engine.warm(model, limits=LIMITS)
            assert engine.run(model, inputs, limits=LIMITS).outputs
        assert len(engine.worker_pids) == 2


OWNER = textwrap.dedent(
    """
    import signal, sys, threading, time, numpy
    from sworn.engine.onnx_engine import OnnxEngine
    from sworn.engine.ray_workforce import RayPlacement, RayWorkforce
    from tests.support import graphs
    heard = []
    signal.signal(signal.SIGTERM, lambda *_: heard.append("TERM"))
    workforce = RayWorkforce(RayPlacement(address=ADDRESS), workers=1)
    engine = OnnxEngine(workforce=workforce)
    pair = {"x": numpy.array([3, 4], dtype="float32"), "y": numpy.array([1, 1], dtype="float32")}
    assert engine.run(graphs.adder(), pair)["total"].tolist() == [4, 5]
    signal.raise_signal(signal.SIGTERM)
    assert heard == ["TERM"]
    print(engine.worker_pids[0], flush=True)
    ENDING
    engine.close()
    workforce.close()
    """
)


def is_listening(port: int) -> bool:
    """Whether somebody answers at a port of this machine."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def owner(ending: str, address: str | None = None) -> subprocess.Popen[bytes]:
    """A process that has an engine on Ray."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    program = OWNER.replace("ENDING", ending).replace("ADDRESS", repr(address))
    return subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )


@pytest.mark.slow
def test_engine_on_ray_is_quiet_and_leaves_signals_and_processes_alone() -> None:
    """Nothing but our own line is printed, SIGTERM still reaches who asked for it, and the end is the end."""
    with owner("") as process:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0 and err == b""
        assert until(lambda: is_gone(int(out)))


@pytest.mark.slow
def test_engine_on_ray_whose_process_is_killed_leaves_no_orphan() -> None:
    """A cluster that was made for one process ends with it."""
    with owner("time.sleep(60)") as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.kill()
        assert until(lambda: is_gone(pid), timeout_s=60)


@pytest.mark.slow
def test_engine_on_a_cluster_that_runs_joins_and_leaves_it() -> None:
    """By address: the cluster goes on when the engine has gone."""
    program = str(Path(sys.executable).with_name("ray"))
    order = [program, "start", "--head", "--block", "--port=26379", "--include-dashboard=false", "--num-cpus=2"]
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    # SAFETY: `ray stop` would end every cluster of this machine, those of other tests too.
    # Sockets lie in the folder, and their paths must be short.
    with (
        TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as folder,
        subprocess.Popen(
            [*order, f"--temp-dir={folder}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
        ) as head,
    ):
        try:
            assert until(lambda: is_listening(26379), timeout_s=120)
            for _ in range(2):
                with owner("", address="127.0.0.1:26379") as process:
                    out, err = process.communicate(timeout=120)
                    assert process.returncode == 0, err
                assert until(partial(is_gone, int(out)))
        finally:
            head.terminate()


@pytest.mark.slow
def test_engine_on_ray_shows_a_model_of_many_pieces(ray: RayWorkforce, tmp_path: Path) -> None:
    """Weights of megabytes come back byte for byte as a process here writes them."""
    with ProgramEngine(workforce=ray) as there, ProgramEngine() as here:
        for engine, name in ((there, "there"), (here, "here")):
            model = engine.identify(ModelSource(artifact=gallery.load("cnn")))
            engine.exhibit(model, tmp_path / name)
    for path in (tmp_path / "here").iterdir():
        assert (tmp_path / "there" / path.name).read_bytes() == path.read_bytes()
