from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.support.accounts import funded_account
from tests.support.challenger_world import Answered, Court, open_court
from tests.support.subjects import corrupted

import sworn
from sworn.chain.deployment_files import save_deployment
from sworn.dispute.queries import Queries
from sworn.testing import gallery
from sworn.testing.anvil import AnvilChain
from sworn.types import DisputeStatus
from sworn.verification import CompiledModel

pytestmark = [pytest.mark.acceptance, pytest.mark.anvil]

ROOT = Path(__file__).resolve().parents[2]
NAME = "logistic"
CHALLENGER = 3
TIMEOUT_S = 180.0
#: One of every phase; `tests/integration/test_challenger_guards.py` dies at all of them, in one process. Each takes ten
#: seconds: those in which most is at stake are enough for most days.
POINTS = (
    pytest.param("claims_stored", marks=pytest.mark.slow),
    pytest.param("verdict_stored", marks=pytest.mark.slow),
    "open_dispute_raw_stored",
    pytest.param("demand_broadcast", marks=pytest.mark.slow),
    pytest.param("after_search", marks=pytest.mark.slow),
    "commit_fault_broadcast",
    "prove_fault_raw_stored",
    pytest.param("claim_share_receipt_stored", marks=pytest.mark.slow),
)


@pytest.fixture(scope="module")
def model() -> CompiledModel:
    """A small model in profile exact."""
    return sworn.compile_model(gallery.load(NAME))


@pytest.fixture(scope="module")
def stage(model: CompiledModel) -> Iterator[Court]:
    """Contracts and an operator on an anvil, once for all tests here."""
    chain = AnvilChain()
    court = open_court(chain)
    court.register(model)
    yield court
    chain.close()


@pytest.fixture
def court(stage: Court) -> Iterator[Court]:
    """The same; the chain is put back afterwards."""
    mark = stage.chain.snapshot()
    yield stage
    stage.chain.revert(mark)


def start(court: Court, folder: Path, *, kill_at: str) -> subprocess.Popen[bytes]:
    """A challenger's process over what an earlier one has stored."""
    (folder / "model.onnx").write_bytes(gallery.load(NAME))
    orders = {
        "url": court.chain.url,
        "deployment": str(save_deployment(court.deployment, folder / "deployment.json")),
        "key": funded_account(CHALLENGER).key.hex(),
        "artifact": str(folder / "model.onnx"),
        "kill_at": kill_at,
    }
    (folder / "orders.json").write_text(json.dumps(orders))
    command = [sys.executable, "-m", "tests.support.challenger_process", str(folder / "orders.json")]
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(command, cwd=ROOT, stderr=log, stdout=log)


def lives_of(court: Court, answered: Answered, folder: Path, *, kill_at: str, until: str) -> list[int]:
    """How each process ended; lets operator and time take their turns until something has happened."""
    exits: list[int] = []
    process = start(court, folder, kill_at=kill_at)
    deadline = time.monotonic() + TIMEOUT_S
    try:
        while until not in (names := paid_names(court, answered)):
            assert time.monotonic() < deadline, (names, (folder / "log").read_text()[-4000:])
            if process.poll() is not None:
                exits.append(process.returncode)
                process = start(court, folder, kill_at=kill_at)
            # Time stands still while a process starts: commitments do not wait for slow machines.
            works = (folder / "log").read_text().count("challenger_started") > len(exits)
            if not answered.defend() and works and "DisputeOpened" in names:
                court.chain.mine(1)
                court.chain.advance(200 if answered.dispute.status is DisputeStatus.REFUTED else 20)
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        return [*exits, process.wait(timeout=30)]
    finally:
        process.kill()


def paid_names(court: Court, answered: Answered) -> list[str]:
    """What has happened, and whether the challenger has its money."""
    names, reward = answered.names(), Queries(court.deployment).reward(court.challenger.address)
    paid = "ShareClaimed" in names and not reward.decode(court.chain.gateway.call(reward.call))
    return [*names, "paid"] if paid else names


@pytest.mark.parametrize("point", POINTS)
def test_challenger_killed_at_point_of_a_dispute_still_wins(
    court: Court, model: CompiledModel, tmp_path: Path, point: str
) -> None:
    """Killed without warning and started again, it proves the fault and is paid, with not one transaction more."""
    trace, value = model.trace(gallery.rows(NAME)[0].inputs), model.program.outputs[-1].value
    index = int(np.argmax(trace.values[value]))
    answered = court.answer(corrupted(trace, value, index, trace.bits(value, index) ^ 1), salt=1)
    exits = lives_of(court, answered, tmp_path, kill_at=point, until="paid")
    assert exits == [-signal.SIGKILL, 0]
    assert answered.dispute.prover == court.challenger.address
    demands = answered.names().count("Demanded")
    assert court.chain.gateway.nonce(court.challenger.address) == demands + 5
