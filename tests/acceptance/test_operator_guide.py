"""The operator's guide is followed, word for word, from nothing to a node that answers and says so."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tests.support.node_process import free_port

from solidity import ROOT
from sworn.watcher.settings import load_settings

GUIDE = (ROOT / "docs" / "operating" / "guide.md").read_text(encoding="utf-8")
INSTALL = "<!-- install -->\n"
#: Ports that the guide names.
CHAIN_PORT, HEALTH_PORT, PROMETHEUS_PORT = "8545", "9464", "9090"
#: The whole guide, on a machine that does other things as well.
PATIENCE_S = 1_500


def blocks(*, installing: bool = False) -> list[str]:
    """The guide's commands, in order; those that install sworn are apart."""
    found = re.findall(r"^(<!-- install -->\n)?```sh\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE)
    return [commands for mark, commands in found if bool(mark) is installing]


def runnable() -> list[str]:
    """The commands that follow the installation; without those for Prometheus where it is not installed."""
    present = shutil.which("prometheus") is not None
    return [commands for commands in blocks() if present or not re.search(f"{PROMETHEUS_PORT}|query alerts", commands)]


def environment(home: Path, **more: str) -> dict[str, str]:
    """As of somebody who has just arrived, with this checkout's command."""
    anvil = shutil.which("anvil")
    tools = [str(Path(sys.executable).parent), *([str(Path(anvil).parent)] if anvil else [])]
    path = os.pathsep.join([*tools, os.environ["PATH"]])
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SWORN_")}
    return kept | {"HOME": str(home), "PATH": path} | more


@contextmanager
def shell(script: str, folder: Path, variables: Mapping[str, str]) -> Iterator[subprocess.CompletedProcess[str]]:
    """Runs a script in one bash; whatever it leaves running is ended."""
    process = subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        said, complaints = process.communicate(timeout=PATIENCE_S)
        yield subprocess.CompletedProcess(process.args, process.returncode, said, complaints)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def service_manager(path: Path) -> Iterator[Callable[[], list[str]]]:
    """A service manager's socket, and what it has been told so far."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(path))
        # The queue of a socket that nobody reads is short.
        heard: list[str] = []

        def read() -> None:
            with suppress(OSError):
                while True:
                    heard.append(listening.recv(1024).decode())

        threading.Thread(target=read, daemon=True).start()

        def told() -> list[str]:
            patience = time.monotonic() + 5
            while heard[-1:] != ["STOPPING=1"] and time.monotonic() < patience:
                time.sleep(0.05)
            return list(heard)

        yield told


def test_guide_settings_are_usable(tmp_path: Path) -> None:
    """The guide's settings are what everybody begins with: a key that is gone would stop them all."""
    (settings,) = re.findall(r"cat > watcher.toml << END\n(.*?)^END$", GUIDE, re.DOTALL | re.MULTILINE)
    file = tmp_path / "watcher.toml"
    address, url = "0x" + "11" * 20, "http://127.0.0.1:8545"
    file.write_text(settings.replace("$(address operator)", address).replace("$SWORN_RPC", url), encoding="utf-8")

    assert load_settings([file]).metrics is not None


def test_guide_shows_every_command_as_shell() -> None:
    """A command in a block of another kind would be shown, and never run by this test."""
    others = re.findall(r"^```(?!sh\n)(\w*)\n", GUIDE, re.MULTILINE)

    assert [kind for kind in others if kind] == []
    assert len(blocks()) >= 10


@pytest.mark.slow
@pytest.mark.acceptance
@pytest.mark.anvil
@pytest.mark.timeout(2 * PATIENCE_S)
def test_guide_leads_to_a_node_that_answers_and_says_so(tmp_path: Path) -> None:
    """Whoever follows the guide and ends with a node that does not work has lost an evening, and then stake."""
    script = "\n".join(runnable())
    for port in (CHAIN_PORT, HEALTH_PORT, PROMETHEUS_PORT):
        script = script.replace(port, str(free_port()))
    # What the installation leaves behind: a checkout beside the node.
    (tmp_path / "sworn").symlink_to(ROOT)
    with (
        service_manager(tmp_path / "notify") as told,
        shell(script, tmp_path, environment(tmp_path / "home", NOTIFY_SOCKET=str(tmp_path / "notify"))) as done,
    ):
        node = tmp_path / "node"
        log = (node / "watcher.log").read_text(encoding="utf-8") if (node / "watcher.log").exists() else ""
        assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}\n{log[-3000:]}"

    # /healthz, /readyz, /status and /metrics, one after the other; curl fails on any other status than 200.
    assert '{"alive":true}' in done.stdout
    assert '"ready":true' in done.stdout
    assert 'sworn_jobs{status="finalized"} 1.0' in done.stdout
    assert re.search(r"progression\s+\[\[20\d\.\d+\]\]", done.stdout), "the model's answer"
    if shutil.which("prometheus"):
        assert re.search(r'"sworn_ready".*"1"\]', done.stdout)
        assert '"alerts":[]' in done.stdout, "a node that is well alarms nobody"
        assert '"alertname":"SwornDown"' in done.stdout
    password = (node / "keys" / "password").read_text(encoding="utf-8").strip()
    assert password not in done.stdout + done.stderr + log
    assert '"watcher_stopped"' in log
    # What systemd would have heard of it: started, alive all the while, ending.
    heard = told()
    assert (heard[0], heard[-1]) == ("READY=1", "STOPPING=1")
    assert "WATCHDOG=1" in heard


@pytest.mark.slow
@pytest.mark.acceptance
@pytest.mark.timeout(2 * PATIENCE_S)
def test_guide_installs_a_command_that_works(tmp_path: Path) -> None:
    """The extras that the guide names are all that a node needs: what the tests have besides must not be missing."""
    script = "\n".join([*blocks(installing=True), "sworn version --json", "sworn watch --help", "sworn doctor --json"])
    variables = environment(tmp_path / "home", SWORN_REPOSITORY=str(ROOT))
    # What is installed is meant, and not what lies around here.
    variables.pop("PYTHONPATH", None)
    with shell(script, tmp_path, variables) as done:
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]

    assert '"ok": true' in done.stdout
