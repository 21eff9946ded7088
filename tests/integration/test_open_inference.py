"""Models on servers that speak the Open Inference Protocol, honest and hostile ones."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from tests.support import graphs
from tests.support.inference_server import InferenceServer, served
from tests.support.workforces import until

from sworn.engine import IdentifiedModel, ModelSource, RunLimits
from sworn.engine.identification import identify
from sworn.engine.serving import ServingEngine
from sworn.engine.terms import Batching, Endpoint, ModelTerms
from sworn.errors import (
    ConfigurationError,
    EngineBusy,
    EngineError,
    InputRejected,
    ModelUnavailable,
    RunFailed,
    RunNotFinite,
    RunTimedOut,
)
from sworn.types import Profile

X = np.array([0.1, -0.0, 1e-45, 3.4e38 / 2], dtype=np.float32)
LIMITS = RunLimits(timeout_s=10.0)


def doubler(profile: Profile = Profile.SIGNED) -> IdentifiedModel:
    """The artifact whose tensors are the server's; what it computes does not matter."""
    shape: tuple[str | int, ...] = ("n",) if profile is Profile.SIGNED else (4,)
    return identify(ModelSource(artifact=graphs.unary("Neg", shape=shape), profile=profile))


MODEL = doubler()


@contextmanager
def engine_for(url: str, **terms: object) -> Iterator[ServingEngine]:
    """An engine that has the model behind a URL."""
    limits = {name: terms.pop(name) for name in ("authorization_file", "ca_file", "max_answer_bytes") if name in terms}
    with ServingEngine() as engine:
        endpoint = Endpoint(url=url, **limits)  # type: ignore[arg-type]
        engine.serve(MODEL, ModelTerms(endpoint=endpoint, **terms))  # type: ignore[arg-type]
        yield engine


def run(engine: ServingEngine, x: np.ndarray = X, *, limits: RunLimits = LIMITS) -> np.ndarray:
    """What the model gives."""
    return np.asarray(engine.run(MODEL, {"x": x}, limits=limits).outputs["y"])


@pytest.mark.parametrize("binary", [True, False])
def test_model_on_a_server_gives_its_bits_in_either_form(binary: bool) -> None:
    """Binary tensors where the server offers them, JSON elsewhere; no bit of a float is lost, no worker is started."""
    server = InferenceServer(binary=binary)
    with served(server) as url, engine_for(url) as engine:
        assert run(engine).tobytes() == (2 * X).tobytes()
        assert engine.worker_pids == () and server.binary_runs == int(binary)
        assert engine.load().models[MODEL.model_id.hex()].finished == 1
    with served(server) as url, engine_for(url + "/versions/1") as engine:
        assert run(engine).tobytes() == (2 * X).tobytes()


def test_model_on_a_server_that_differs_from_the_artifact_is_not_served() -> None:
    """Tensors, types and versions are compared before the first request."""
    for wrong, said in (
        (InferenceServer(datatype="FP16"), "FP16"),
        (InferenceServer(shape=[-1, 2]), "artifact"),
        (InferenceServer(versions=["1", "2"]), "versions"),
        (InferenceServer(authorization="Bearer right"), "authorization_file"),
    ):
        with served(wrong) as url, pytest.raises(ConfigurationError, match=said), engine_for(url):
            pass


@pytest.mark.parametrize("profile", [Profile.EXACT, Profile.BOUNDED])
def test_model_with_a_promise_is_refused_an_endpoint_and_batches(profile: Profile) -> None:
    """A result that has to be defended bit by bit cannot come from where nobody sees it computed."""
    model = doubler(profile)
    with ServingEngine() as engine:
        for terms in (
            ModelTerms(endpoint=Endpoint(url="http://localhost/v2/models/m")),
            ModelTerms(batching=Batching()),
        ):
            with pytest.raises(ConfigurationError, match="signed"):
                engine.serve(model, terms)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host/v2/models/m",
        "http://name:secret@host/v2/models/m",
        "http://host/v2/models/m?key=secret",
        "http://host/v2",
        "http://host/v2/models",
        "http://host/v2/models/m/infer",
    ],
)
def test_endpoint_of_another_form_is_refused_without_its_secrets(url: str) -> None:
    """What is wrong with a URL is said without quoting what hides in it."""
    with pytest.raises(ConfigurationError) as caught, engine_for(url):
        pass
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("manner", "kind"),
    [
        ("wrong shape", RunFailed),
        ("nan", RunNotFinite),
        ("compressed", RunFailed),
        ("huge", RunFailed),
        ("moved", ConfigurationError),
        ("slow", RunTimedOut),
        ("drip", RunTimedOut),
    ],
)
def test_server_that_misbehaves_ends_in_a_typed_error_in_time(manner: str, kind: type[Exception]) -> None:
    """Whatever comes back, nothing wrong is signed, memory and time stay bounded, and the next run works."""
    server = InferenceServer(binary=manner != "nan")
    with served(server) as url, engine_for(url, max_answer_bytes=1 << 16) as engine:
        server.manner = manner
        began = time.monotonic()
        with pytest.raises(kind) as caught:
            run(engine, limits=RunLimits(timeout_s=0.6))
        assert type(caught.value) is kind or manner in ("huge", "compressed")
        assert time.monotonic() - began < 4
        server.manner = ""
        assert run(engine).tobytes() == (2 * X).tobytes()


def test_server_that_is_busy_is_asked_again_and_given_up_in_time() -> None:
    """503 and 429 say that nothing has begun: asking again is safe, as long as there is time."""
    server = InferenceServer(refusals=[(503, None), (429, "0")])
    with served(server) as url, engine_for(url) as engine:
        assert run(engine).tobytes() == (2 * X).tobytes()
        assert server.runs == 3
        server.refusals = [(503, "3600")]
        began = time.monotonic()
        with pytest.raises(ModelUnavailable):
            run(engine)
        assert time.monotonic() - began < 3 and server.runs == 4


@pytest.mark.parametrize(("status", "kind"), [(400, RunFailed), (404, ModelUnavailable), (500, ModelUnavailable)])
def test_server_that_refuses_is_not_asked_twice(status: int, kind: type[EngineError]) -> None:
    """What may have run there is not run again; whose fault it is decides whether a failure may be signed."""
    server = InferenceServer(refusals=[(status, None)])
    with served(server) as url, engine_for(url) as engine:
        with pytest.raises(kind) as caught:
            run(engine)
        assert type(caught.value) is kind and server.runs == 1


def test_server_whose_metadata_name_no_version_is_held_to_that_of_its_first_answer() -> None:
    """MLServer lists no versions, and answers with one: it is served, and a version deployed later is not signed."""
    server = InferenceServer(versions=[], answers_as="v1")
    with served(server) as url, engine_for(url) as engine:
        assert run(engine).tobytes() == (2 * X).tobytes()
        server.answers_as = "v2"
        with pytest.raises(ModelUnavailable, match="version v2"):
            run(engine)


def test_server_that_answers_as_another_version_is_not_believed() -> None:
    """A model that somebody replaced under its name is not signed as the one that was checked."""
    server = InferenceServer()
    with served(server) as url, engine_for(url) as engine:
        server.answers_as = "2"
        with pytest.raises(ModelUnavailable, match="version 2"):
            run(engine)


def test_server_that_is_gone_is_no_failure_of_the_model() -> None:
    """Nobody listens: the request waits for later, nothing is signed."""
    server = InferenceServer()
    with served(server) as url, engine_for(url) as engine:
        assert run(engine).size == 4
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            with (
                pytest.raises(ModelUnavailable),
                engine_for(f"http://127.0.0.1:{silent.getsockname()[1]}/v2/models/m"),
            ):
                pass
        assert run(engine).size == 4
    with pytest.raises(ModelUnavailable), engine_for(url):
        pass


def test_authorization_from_a_file_is_sent_and_never_shown(tmp_path: Path) -> None:
    """The header reaches the server; errors and reprs do not have it."""
    secret = tmp_path / "authorization"
    secret.write_text("Bearer correct-horse\n")
    server = InferenceServer(authorization="Bearer correct-horse")
    with served(server) as url:
        with engine_for(url, authorization_file=secret) as engine:
            assert run(engine).size == 4
        secret.write_text("Bearer battery-staple\n")
        with pytest.raises(ConfigurationError) as caught, engine_for(url, authorization_file=secret):
            pass
        assert "battery" not in str(caught.value)
        assert "battery" not in repr(ModelTerms(endpoint=Endpoint(url=url, authorization_file=secret)))
        for unusable in (tmp_path / "missing", tmp_path):
            with pytest.raises(ConfigurationError), engine_for(url, authorization_file=unusable):
                pass
    with pytest.raises(ConfigurationError, match="certificates"), engine_for("https://h/v2/models/m", ca_file=secret):
        pass


def test_endpoint_has_places_and_a_queue_of_its_own() -> None:
    """A slow server takes no worker from local models; what does not fit is turned away, not lost."""
    server = InferenceServer(manner="slow")
    outcomes: list[object] = []

    def work() -> None:
        try:
            outcomes.append(run(engine, limits=RunLimits(timeout_s=0.5)))
        except EngineError as error:
            outcomes.append(type(error))

    with served(server) as url, engine_for(url, concurrency=2, queue=1) as engine:
        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        assert until(lambda: engine.load().queued == 1 and engine.load().running == 2)
        with pytest.raises(EngineBusy):
            run(engine)
        for thread in threads:
            thread.join()
        assert outcomes == [RunTimedOut] * 3 and server.at_once <= 3
        with pytest.raises(InputRejected):
            run(engine, np.zeros((2, 2), dtype=np.float32))


def test_engine_closed_during_a_remote_run_ends_it_without_blaming_the_model() -> None:
    """Shutdown waits for no server."""
    server = InferenceServer(manner="slow")
    outcomes: list[type[EngineError]] = []

    def work() -> None:
        with pytest.raises(EngineError) as caught:
            run(engine)
        outcomes.append(caught.type)

    with served(server) as url, engine_for(url) as engine:
        thread = threading.Thread(target=work)
        thread.start()
        assert until(lambda: server.runs == 1)
        engine.close()
        thread.join(5)
        assert outcomes == [EngineError]
