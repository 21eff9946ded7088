"""A watcher as a process, with a secret in every place that can hold one: none of them gets out."""

from __future__ import annotations

import hashlib
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import requests
from sqlalchemy.engine import make_url
from tests.support.echo_server import Echo, serving_echo
from tests.support.fake_web3signer import FakeWeb3Signer, fake, serving
from tests.support.node_process import PROGRAM, free_port, oracle_on_anvil, private_key, running, wait_for
from tests.support.planted_secrets import ENVIRONMENT, MARK, TOKEN, Planted, plant
from tests.support.postgres import migrated_url

from sworn import compile_model
from sworn.chain.deployment_files import save_deployment
from sworn.testing.local_oracle import LocalOracle
from sworn.testing.models import example_rows, load_model

pytestmark = [pytest.mark.anvil, pytest.mark.acceptance, pytest.mark.slow, pytest.mark.timeout(1_500)]
SIGNER, SENDER = 2, 9
KEYS = (private_key(SENDER), private_key(SIGNER))
#: Of each command, on a machine that does much else besides.
TIMEOUT_S = 300.0
MODEL = "diabetes_progression"
BODY = """
database_url = "{{database}}"
operator = "{operator}"
[chain]
rpc_url = "{{rpc}}"
chain_id = 31337
deployment = "deployment.json"
poll_interval_s = 0.1
confirmations = 0
[keys]
password_file = "password"
transaction_key = "{{transaction}}"
[keys.result]
kind = "web3signer"
url = "{signer}"
address = "{address}"
token_file = "token"
[[models]]
artifact = "model.onnx"
max_value_at_risk_wei = 1000000000000000000
[guards]
min_profit_wei = -1000000000000000000
[log]
level = "debug"
"""
#: As above, with every secret that the tables of endpoints and artifacts can hold.
SPREAD = """
database_url = "{{database}}"
operator = "{operator}"
[chain]
rpc_urls = [
  "{{rpc}}",
  "http://user:node-S3CR3T@{echo}/v3/key-S3CR3T",
  {{{{ url = "http://user:node-S3CR3T@127.0.0.1:9/v3/key-S3CR3T", timeout_s = 2 }}}},
]
quorum = 1
ws_url = "ws://user:socket-S3CR3T@{echo}/ws-S3CR3T?key=S3CR3T"
chain_id = 31337
deployment = "deployment.json"
poll_interval_s = 0.1
confirmations = 0
[keys]
password_file = "password"
transaction_key = "{{transaction}}"
result_key = "{{result}}"
[artifacts]
cache = "cache"
mirrors = [
  "s3://models/{{{{sha256}}}}",
  "http://user:mirror-S3CR3T@127.0.0.1:9/path-S3CR3T/{{{{sha256}}}}?signature=S3CR3T",
  "http://user:mirror-S3CR3T@{echo}/path-S3CR3T/wrong/{{{{sha256}}}}?signature=S3CR3T",
  "http://user:mirror-S3CR3T@{echo}/path-S3CR3T/{{{{sha256}}}}?signature=S3CR3T",
]
ipfs_gateways = ["http://user:gateway-S3CR3T@{echo}/gateway-S3CR3T"]
[[models]]
model_id = "{model}"
max_value_at_risk_wei = 1000000000000000000
[guards]
min_profit_wei = -1000000000000000000
[metrics]
port = {port}
refresh_s = 0.2
[log]
level = "debug"
format = "{form}"
"""
#: What a vendor's error says when nobody has expected it.
CRASH = """
import sys, threading
from sworn.cli import compose_watcher, main
def crash(values, output, **more):
    url = values.chain.endpoints[1].url.get_secret_value()
    thread = threading.Thread(target=fail, args=(url,))
    thread.start()
    thread.join()
    fail(url)
def fail(url):
    raise ValueError(f"HTTPConnectionPool: Max retries exceeded with url: {url.partition('9')[2]} of {url}")
compose_watcher.watcher = crash
sys.exit(main())
"""
PAGES = ("healthz", "readyz", "status", "metrics")


@pytest.fixture
def echo() -> Iterator[Echo]:
    """A mirror, a gateway and a node that tell everybody how they were asked."""
    with serving_echo() as running:
        yield running


@pytest.fixture
def oracle() -> Iterator[LocalOracle]:
    """An oracle on anvil whose own watcher stays idle."""
    with oracle_on_anvil() as oracle:
        oracle.serve(load_model(MODEL))
        yield oracle


@pytest.fixture
def signer() -> Iterator[FakeWeb3Signer]:
    """The result key, behind a remote signer."""
    with serving(fake(private_key(SIGNER))) as running:
        yield running


def planted(oracle: LocalOracle, signer: FakeWeb3Signer, folder: Path, *, database: str) -> Planted:
    """Settings of a watcher for the oracle's operator, with secrets."""
    (folder / "model.onnx").write_bytes(load_model(MODEL))
    save_deployment(oracle.deployment, folder / "deployment.json")
    url = signer.url + "/path-S3CR3T"
    body = BODY.format(operator=oracle.operator.address, signer=url, address=oracle.result_signer.address)
    return plant(folder, keys=KEYS, rpc=str(oracle.chain.url), database=database, body=body)


def spread(
    oracle: LocalOracle, echo: Echo, folder: Path, monkeypatch: pytest.MonkeyPatch, *, database: str, form: str
) -> tuple[Planted, str]:
    """Settings with secrets in every endpoint and mirror, and where the health of the watcher is served."""
    artifact = load_model(MODEL)
    echo.files[f"/path-S3CR3T/{hashlib.sha256(artifact).hexdigest()}"] = artifact
    save_deployment(oracle.deployment, folder / "deployment.json")
    port = free_port()
    model = "0x" + compile_model(artifact).model_id.hex()
    body = SPREAD.format(operator=oracle.operator.address, echo=echo.host, model=model, port=port, form=form)
    # Its requests are signed with the credentials of the environment, and repeated in its answers.
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://{echo.host}/path-{MARK}")
    rpc = str(oracle.chain.url).replace("//", f"//user:node-{MARK}@")
    return plant(folder, keys=KEYS, rpc=rpc, database=database, body=body), f"127.0.0.1:{port}"


def pages(host: str) -> str:
    """All that the watcher says of itself over HTTP, whether it is well or not."""
    answers = [requests.get(f"http://{host}/{page}", timeout=10) for page in PAGES]
    return "".join(f"{answer.headers}{answer.text}" for answer in answers)


@contextmanager
def started(secrets: Planted, *arguments: str, program: str = PROGRAM) -> Iterator[subprocess.Popen[bytes]]:
    """The command, with secrets in its environment and its output in files; at the end it is asked to end."""
    command = (sys.executable, "-c", program, *arguments, "--config", str(secrets.settings))
    home = {**os.environ, **ENVIRONMENT, "HOME": str(secrets.folder)}
    with running(*command, log=secrets.folder / "err", out=secrets.folder / "out", environment=home) as process:
        yield process
        process.terminate()
        process.wait(timeout=TIMEOUT_S)


@contextmanager
def watching(secrets: Planted) -> Iterator[psutil.Process]:
    """A watcher that serves."""
    with started(secrets, "watch") as process:
        wait_for("watcher_started", log=secrets.folder / "err", process=process, timeout_s=TIMEOUT_S)
        yield psutil.Process(process.pid)


def ended(secrets: Planted, *arguments: str, program: str = PROGRAM) -> int:
    """The exit code of a command that ends by itself."""
    with started(secrets, *arguments, program=program) as process:
        return process.wait(timeout=TIMEOUT_S)


def leaks_of(process: psutil.Process, secrets: Planted) -> list[str]:
    """Secrets in the arguments of a process and its descendants, and in what descendants inherit."""
    found = secrets.found_in(" ".join(process.cmdline()))
    for child in process.children(recursive=True):
        found += secrets.found_in(" ".join(child.cmdline()), repr(child.environ()))
    return found


def test_watcher_process_leaks_no_secret_while_it_works_and_when_it_cannot(
    oracle: LocalOracle, signer: FakeWeb3Signer, tmp_path: Path
) -> None:
    """Logs, database, traces, arguments, children and standard streams are searched, through success and failure."""
    secrets = planted(oracle, signer, tmp_path, database=f"sqlite:///{tmp_path}/watcher.db")
    with watching(secrets) as process:
        inputs = example_rows(MODEL)[0].inputs
        handle = oracle.client().request(model=load_model(MODEL), inputs=inputs)
        assert handle.wait(timeout=TIMEOUT_S, until="proposed").signer == oracle.result_signer.address
        assert signer.headers[-1]["Authorization"] == f"Bearer {TOKEN}"
        leaks = leaks_of(process, secrets)
        signer.failures = [(500, b"S3CR3T in an answer", 0.0)] * 6
        oracle.client().request(model=load_model(MODEL), inputs=inputs)
        time.sleep(3)
    (tmp_path / "token").write_text("wrong-S3CR3T\n")
    signer.failures = [(401, b"S3CR3T", 0.0)]
    assert ended(secrets, "watch", "--once", "--debug") != 0
    assert ended(secrets, "watch", "--once", "--dry-run") == 0
    ended(secrets, "doctor", "--json")
    (tmp_path / "password").write_text("another-S3CR3T\n")
    assert ended(secrets, "watch", "--once", "--debug") != 0
    assert leaks == []
    assert b"would_propose" in (tmp_path / "err").read_bytes()
    assert (tmp_path / "watcher.db").exists()
    assert {path.name: found for path in secrets.files() if (found := secrets.found_in(path.read_bytes()))} == {}


@pytest.mark.parametrize(("kind", "form"), [("sqlite", "json"), ("postgresql", "console")])
def test_watcher_process_with_many_endpoints_and_mirrors_leaks_no_secret(
    oracle: LocalOracle, echo: Echo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, form: str
) -> None:
    """Nodes, mirrors and gateways that fail, lie and repeat what they were asked: none of it is said any further."""
    database = f"sqlite:///{tmp_path}/watcher.db"
    if kind == "postgresql":
        # The server lets everybody in: what matters is that there is a password in the URL.
        database = make_url(migrated_url()).set(password=f"db-{MARK}").render_as_string(hide_password=False)
    secrets, health = spread(oracle, echo, tmp_path, monkeypatch, database=database, form=form)
    with watching(secrets) as process:
        handle = oracle.client().request(model=load_model(MODEL), inputs=example_rows(MODEL)[0].inputs)
        handle.wait(timeout=TIMEOUT_S, until="proposed")
        time.sleep(2)
        leaks = leaks_of(process, secrets) + secrets.found_in(pages(health))
        assert process.rlimit(resource.RLIMIT_CORE) == (0, 0)
        assert ended(secrets, "health") in (0, 1)
    ended(secrets, "doctor", "--debug")
    for command in (("jobs", "list"), ("db", "current"), ("operator", "quarantine", "list"), ("operator", "status")):
        ended(secrets, *command, "--debug")
    assert ended(secrets, "watch", program=CRASH) == 1
    assert leaks == []
    said = (tmp_path / "err").read_text()
    assert "mirror_gave_wrong_bytes" in said and said.count("ValueError: HTTPConnectionPool") == 2
    assert {path for method, path in echo.asked if method == "POST"} == {"/v3/key-S3CR3T"}
    assert [path for method, path in echo.asked if "/models/" in path] != []
    assert {path.name: found for path in secrets.files() if (found := secrets.found_in(path.read_bytes()))} == {}
