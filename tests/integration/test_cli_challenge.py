"""`sworn challenge` as a process: reports, posts bonds, and ends when it is told."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.challenger_world import Court, open_court
from tests.support.node_process import COMMAND, keystores
from tests.support.subjects import corrupted

import sworn
from sworn.chain.deployment_files import save_deployment
from sworn.errors import ConfigurationError
from sworn.storage import CachedArtifactStore
from sworn.testing import gallery
from sworn.testing.anvil import AnvilChain, find_anvil
from sworn.types import DisputeStatus

NAME = "logistic"
PASSWORD = "correct horse"
CHALLENGER = 3
pytestmark = pytest.mark.anvil


@pytest.fixture
def court() -> Iterator[Court]:
    """Contracts and an operator on anvil."""
    try:
        find_anvil()
    except ConfigurationError:
        pytest.skip("no anvil")
    chain = AnvilChain()
    yield open_court(chain)
    chain.close()


def settings(court: Court, folder: Path) -> Path:
    """The settings of a challenger that has the model's file."""
    CachedArtifactStore(folder / "artifacts").put(gallery.load(NAME))
    save_deployment(court.deployment, folder / "deployment.json")
    (keystore,) = keystores(folder, CHALLENGER, password=PASSWORD)
    file = folder / "challenger.toml"
    file.write_text(
        f"""
        database_url = "sqlite:///{folder / "challenger.db"}"
        artifacts = "artifacts"
        [chain]
        rpc_url = "{court.chain.url}"
        chain_id = 31337
        deployment = "deployment.json"
        confirmations = 0
        [keys]
        transaction_key = "{keystore}"
        password_file = "password"
        [challenge]
        min_profit_wei = -1_000_000_000_000_000_000
        """
    )
    return file


def challenge(file: Path, *flags: str) -> dict[str, Any]:
    """What the command says."""
    command = [*COMMAND, "challenge", "-c", str(file), "--once", "--json", *flags]
    done = subprocess.run(command, capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_challenge_command_observes_then_posts_a_bond(court: Court, tmp_path: Path) -> None:
    """With --observe it only reports; with a key the same claim is taken to court."""
    model = sworn.compile_model(gallery.load(NAME))
    court.register(model)
    trace, value = model.trace(gallery.rows(NAME)[0].inputs), model.program.outputs[-1].value
    index = int(np.argmax(trace.values[value]))
    lie = court.answer(corrupted(trace, value, index, trace.bits(value, index) ^ 1), salt=1)
    file = settings(court, tmp_path)
    told = challenge(file, "--observe", "--database", f"sqlite:///{tmp_path / 'observer.db'}")
    assert told["claims"] == {"observed": 1}
    (false,) = told["false"]
    assert false["result_id"] == "0x" + lie.result_id.hex() and "our own run gives" in false["reason"]
    assert court.chain.gateway.nonce(court.challenger.address) == 0
    assert challenge(file)["claims"] == {"false": 1}
    assert lie.dispute.status is DisputeStatus.OPEN
    assert lie.dispute.opener == court.challenger.address
