"""The demo as a person or a script runs it: a process of its own."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
from tests.support.node_process import COMMAND

from sworn.errors import ConfigurationError
from sworn.testing.anvil import find_anvil

TIMEOUT_S = 120
CHAPTERS = 9
ETHER = 10**18
pytestmark = pytest.mark.acceptance


def run_demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A finished demo."""
    command = [*COMMAND, "demo", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)


def check_summary(summary: dict[str, Any]) -> None:
    """The story's outcome, from the facts in the summary alone."""
    chapters = [chapter["facts"] for chapter in summary["chapters"]]
    assert len(chapters) == CHAPTERS
    _, operator, prediction, recomputing, lending, refusal, silence, crime, fault = chapters
    assert operator["stake_wei"] == 32 * ETHER
    assert prediction["progression"] == pytest.approx(prediction["scikit_learn_says"], abs=1e-3)
    assert prediction["operator_earned_wei"] == operator["diabetes_progression_price_wei"]
    assert recomputing["model_id"] == operator["diabetes_progression_model_id"]
    assert recomputing["profile"] == "exact" and recomputing["elements_checked"] > 0
    assert recomputing["recomputed"][0][0] == pytest.approx(prediction["progression"], abs=1e-3)
    assert lending["granted_risk"] < lending["risk_limit"] < lending["declined_risk"]
    assert lending["granted_rate"] == pytest.approx(0.02 + 2 * lending["granted_risk"])
    assert refusal["failure"] == "bad_input"
    assert refusal["refunded_wei"] == operator["breast_cancer_risk_price_wei"]
    assert silence["refunded_wei"] == operator["diabetes_progression_price_wei"]
    assert crime["answer_on_chain"] != crime["answer_told_elsewhere"]
    shares = [crime[name] for name in ("prover_reward_wei", "victim_compensation_wei", "burnt_wei")]
    assert [share * 100 // crime["slashed_wei"] for share in shares] == [30, 50, 20]
    assert sum(shares) == crime["slashed_wei"]
    raised = [facts["client_raises"] for facts in (refusal, silence, crime, fault)]
    assert raised == ["RequestFailed", "RequestExpired", "RequestRefuted", "RequestRefuted"]
    check_fault(fault, summary["chapters"][-1]["transactions"])


def check_fault(fault: dict[str, Any], transactions: list[dict[str, Any]]) -> None:
    """The second act: a lie about one element, an opener who is the liar's friend, and who got what."""
    assert fault["answer_on_chain"] == pytest.approx(fault["recomputed"] + 100, abs=0.01)
    assert "1 of 1 elements differ" in fault["difference"] and "element of value" in fault["verdict"]
    assert fault["victim_compensation_wei"] * 2 == fault["slashed_wei"] == 4 * ETHER
    assert fault["burnt_wei"] * 5 == fault["slashed_wei"]
    shared = fault["stranger_share_wei"] + fault["friend_share_wei"] - 2 * fault["friend_bond_wei"]
    assert shared * 10 == fault["slashed_wei"] * 3
    assert fault["stranger_share_wei"] > 7 * fault["friend_share_wei"]
    moves = [(each["role"], each["call"].removeprefix("DisputeGame.")) for each in transactions]
    for move in (("friend", "challenge"), ("stranger", "join"), ("watcher", "disclose"), ("stranger", "proveFault")):
        assert move in moves
    assert fault["dispute_gas"] < 1_000_000


def test_demo_on_the_embedded_chain_tells_a_true_story() -> None:
    """One JSON document, exit code 0, and the promised time."""
    done = run_demo("--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["chain"] == "eth-tester"
    assert summary["seconds"] < 30
    check_summary(summary)


def test_demo_for_people_fits_a_hundred_columns() -> None:
    """Told in words, with ids, gas and times, and nothing on stderr."""
    done = run_demo("--fast")
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    assert max(len(line.rstrip()) for line in done.stdout.splitlines()) <= 100
    for word in ("DisputeGame.proveEquivocation", "DisputeGame.proveFault", " gas", "block ", "The story holds."):
        assert word in done.stdout


@pytest.mark.anvil
def test_demo_on_anvil_tells_the_same_story() -> None:
    """The same facts on another implementation of the chain, and no anvil is left behind."""
    try:
        find_anvil()
    except ConfigurationError:
        pytest.skip("no anvil")
    done = run_demo("--chain", "anvil", "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["chain_id"] == 31337
    check_summary(summary)


def test_demo_without_anvil_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing binary is a settings problem with a way out, not a traceback."""
    monkeypatch.setenv("SWORN_ANVIL", "/nowhere/anvil")
    done = run_demo("--chain", "anvil")
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    assert "/nowhere/anvil" in done.stderr
