"""What runs a node as a service: it is whole, closed by default, and names only what is there."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from solidity import ROOT
from sworn.cli.exit_codes import ExitCode
from sworn.watcher.challenger.settings import load_challenger_settings
from sworn.watcher.settings import load_settings
from sworn.watcher.supervision import ServiceManager

NODE = ROOT / "scripts" / "node"
DOCKERFILE = (NODE / "Dockerfile").read_text(encoding="utf-8")
UNITS = sorted(NODE.glob("*.service"))
#: What an operator makes, as docs/operating/packaging.md says.
MADE = {"watcher.toml", "deployment.json", "models", "secrets"}


def compose() -> dict[str, Any]:
    """The compose file."""
    parsed: dict[str, Any] = yaml.safe_load((NODE / "compose.yaml").read_text(encoding="utf-8"))
    return parsed


def unit(path: Path) -> dict[str, list[str]]:
    """The settings of a systemd unit; a name may come more than once."""
    found: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        name, is_setting, value = line.partition("=")
        if is_setting and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def test_compose_publishes_no_port() -> None:
    """Metrics name accounts, and databases hold what was sworn: nobody outside is to reach them by default."""
    assert {name for name, service in compose()["services"].items() if "ports" in service} == set()


def test_compose_keeps_secrets_in_files_only() -> None:
    """An environment shows in `docker inspect`: passwords come as files."""
    parsed = compose()
    declared = set(parsed["secrets"])
    for name, service in parsed["services"].items():
        assert set(service.get("secrets", ())) <= declared, name
        for key, value in service.get("environment", {}).items():
            assert not re.search("password|secret|key", key, re.IGNORECASE) or str(value).startswith("/run/secrets/")
    assert {secret["file"].split("/")[0] for secret in parsed["secrets"].values()} == {"secrets"}


def test_compose_mounts_only_files_that_are_there() -> None:
    """Docker makes a folder of a file that is missing, and the service fails in words that name neither."""
    mounted = [
        volume.split(":")[0].removeprefix("./")
        for service in compose()["services"].values()
        for volume in service["volumes"]
        if volume.startswith("./")
    ]

    assert [path for path in mounted if not (NODE / path).exists() and path not in MADE] == []


def test_compose_pins_images_and_drops_rights() -> None:
    """An image that changes by itself is an upgrade that nobody decided on."""
    for name, service in compose()["services"].items():
        version = service["image"].partition(":")[2]
        assert name == "watcher" or re.fullmatch(r"v?\d+\.\d+(\.\d+)?(-\w+)?", version), name
        assert service["restart"] == "unless-stopped"
        if name != "postgres":
            assert service["cap_drop"] == ["ALL"], name
            assert service["security_opt"] == ["no-new-privileges:true"], name


def test_compose_lets_out_only_who_has_to_talk() -> None:
    """The watcher needs the chain, and alerts must get out: with Prometheus shut in, nobody is ever woken."""
    parsed = compose()
    outside = {name for name, service in parsed["services"].items() if "outside" in service["networks"]}

    assert outside == {"watcher", "prometheus"}
    assert parsed["networks"]["inside"]["internal"] is True


def test_each_packaging_gives_the_deployment_that_its_settings_name() -> None:
    """No deployment ships with the package: a daemon that is not given one does not start."""
    named = {
        tomllib.loads((NODE / name).read_text(encoding="utf-8"))["chain"]["deployment"]
        for name in ("watcher.toml", "challenger.toml")
    }
    (place,) = named

    assert f"./deployment.json:{place}:ro" in compose()["services"]["watcher"]["volumes"]
    for path in UNITS:
        found = unit(path)
        assert f"deployment.json:{place}" in found["LoadCredential"]
        assert "SWORN_CHAIN__DEPLOYMENT=%d/deployment.json" in found["Environment"]


def test_prometheus_scrapes_what_the_settings_serve() -> None:
    """A port that differs in two files is a node that nobody watches."""
    scraping = yaml.safe_load((NODE / "prometheus.yml").read_text(encoding="utf-8"))
    ((job,),) = [scraping["scrape_configs"]][0:1]
    settings = tomllib.loads((NODE / "watcher.toml").read_text(encoding="utf-8"))

    assert job["job_name"] == "sworn"
    assert job["static_configs"][0]["targets"] == [f"watcher:{settings['metrics']['port']}"]
    assert scraping["rule_files"] == ["alerts.yml"]
    assert f"127.0.0.1:{settings['metrics']['port']}" in DOCKERFILE


def test_image_runs_without_root() -> None:
    """A model is a stranger's file: what runs it must not be root."""
    final = DOCKERFILE.rpartition("FROM ")[2]
    users = re.findall(r"^USER (\S+)", final, re.MULTILINE)

    assert users == ["10001:10001"]
    assert "ENTRYPOINT [" in final, "a shell as the first process would swallow SIGTERM"
    assert re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE) == ["python:3.12.11-slim-bookworm"] * 2


def test_image_copies_and_installs_what_there_is() -> None:
    """The image is not built here: at least everything that its steps name is there."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    copied = [
        word for line in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE) for word in line.split()
    ]
    extras = re.findall(r"^ARG EXTRAS=(\S+)$", DOCKERFILE, re.MULTILINE)[0].split(",")

    assert [path for path in copied if not (ROOT / path).exists()] == []
    assert [extra for extra in extras if extra not in project["optional-dependencies"]] == []
    packaged = {"pyproject.toml", "README.md", "LICENSE", "sdk", "abi"}
    assert packaged == set(copied), "what the wheel is built from"


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_unit_is_supervised_and_confined(path: Path) -> None:
    """A hung loop is restarted, a wrong setting is not tried for ever, and a stranger's model reaches nothing."""
    found = unit(path)

    assert found["Type"] == ["notify"]
    ServiceManager(None, watchdog_s=float(found["WatchdogSec"][0])).require_patience(60)
    assert found["Restart"] == ["on-failure"]
    never = {int(code) for code in found["RestartPreventExitStatus"][0].split()}
    assert never == {ExitCode.USAGE, ExitCode.CONFIGURATION, ExitCode.KEY}
    assert found["OOMPolicy"] == ["continue"]
    for name in ("DynamicUser", "NoNewPrivileges", "PrivateTmp", "ProtectHome", "RestrictNamespaces"):
        assert found[name] == ["yes"], name
    assert found["ProtectSystem"] == ["strict"]


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_unit_hands_secrets_over_as_credentials(path: Path) -> None:
    """Passwords in a unit's environment show to everybody on the machine; paths to credentials do not."""
    found = unit(path)
    given = {credential.partition(":")[0] for credential in found["LoadCredential"]}
    named = set(re.findall(r"(?:%d|\$\{CREDENTIALS_DIRECTORY\})/([\w.-]+)", path.read_text(encoding="utf-8")))

    assert named == given
    for line in found["Environment"]:
        for pair in line.split():
            assert re.match(r"\w+=%[dS]", pair), pair


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not here")
def test_unit_is_understood_by_systemd(path: Path, tmp_path: Path) -> None:
    """A misspelt setting is ignored with a line in a log that nobody reads."""
    text = path.read_text(encoding="utf-8").replace("/opt/sworn/bin/sworn", "/bin/true")
    copy = tmp_path / path.name
    copy.write_text(text, encoding="utf-8")
    run = subprocess.run(["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, check=False)

    assert (run.returncode, run.stderr) == (0, "")


def test_example_settings_are_usable(monkeypatch: pytest.MonkeyPatch) -> None:
    """An example with a key that is gone is the first thing that fails for whoever begins."""
    for name in ("SWORN_KEYS__TRANSACTION_KEY", "SWORN_KEYS__PASSWORD_FILE"):
        monkeypatch.setenv(name, "/run/credentials/key")
    challenger = load_challenger_settings([NODE / "challenger.toml"])
    assert challenger.metrics is not None
    assert challenger.keys.transaction_key is not None
    monkeypatch.undo()
    watcher = load_settings([NODE / "watcher.toml"])

    assert watcher.metrics is not None
    assert watcher.database_url.get_secret_value().startswith("postgresql://")
