"""Answers verified and disputes fought by command line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from eth_account.hdaccount import key_from_seed, seed_from_mnemonic
from tests.support.client_world import ETHER, World, open_world
from tests.support.command_line import CommandLine
from tests.support.lying_operator import Lie, compiled, ripen, settle, swear, tell_lie

from sworn.chain.deployment_files import save_deployment
from sworn.cli.exit_codes import ExitCode
from sworn.referee import encode_proof
from sworn.testing.local_chain import MNEMONIC, ChainKind

CHALLENGER, FRIEND = 5, 6
VALUE_AT_RISK = ETHER // 20


@pytest.fixture(scope="module")
def stage() -> Iterator[World]:
    """A deployment with one operator."""
    with open_world(ChainKind.EMBEDDED) as world:
        world.enrol()
        yield world


@pytest.fixture
def world(stage: World) -> Iterator[World]:
    """The stage for one test."""
    mark = stage.chain.snapshot()
    yield stage
    stage.chain.revert(mark)


@pytest.fixture
def lie(world: World) -> Lie:
    """A false answer with ten minutes to challenge it."""
    return tell_lie(world, window=600, value_at_risk=VALUE_AT_RISK)


@pytest.fixture
def line(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> CommandLine:
    """The command, acting as the challenger, with the model's file beside it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SWORN_DEPLOYMENT", str(save_deployment(world.deployment, tmp_path)))
    (tmp_path / "model.onnx").write_bytes(world.artifact)
    monkeypatch.chdir(tmp_path)
    line = CommandLine(capsys, monkeypatch)
    line.use(world.chain.gateway)
    line.act_as(bytes(key_from_seed(seed_from_mnemonic(MNEMONIC, ""), f"m/44'/60'/0'/0/{CHALLENGER}")))
    return line


def name_of(lie: Lie) -> str:
    """The request as people write it."""
    return f"0x{lie.handle.request_id.hex()}"


def test_verify_command_tells_true_from_false_by_its_status(world: World, line: CommandLine, lie: Lie) -> None:
    """Exit status and document say the same; what differs is named."""
    outcome = line.run("verify", name_of(lie), "--model", "model.onnx", "--json")
    assert outcome.code == ExitCode.FAILED and outcome.document["verdict"] == "false"
    (difference,) = outcome.document["differences"]
    assert difference["count"] == 1 and difference["sworn"] != difference["recomputed"]
    told = line.run("verify", name_of(lie), "--model", "model.onnx")
    assert "✗ false" in told.out and "sworn dispute prove" in told.out
    assert str(difference["index"]) in told.out

    honest = world.request()
    swear(world, honest, compiled(world.artifact).trace(world.row.inputs))
    told = line.run("verify", f"0x{honest.request_id.hex()}", "--model", "model.onnx")
    assert told.code == ExitCode.OK and "✓ confirmed" in told.out


def test_dispute_commands_by_hand_convict_and_pay(world: World, line: CommandLine, lie: Lie, tmp_path: Path) -> None:
    """Opened with a preview, shown, proven from a proof file, claimed, withdrawn."""
    about = name_of(lie)
    assert "--yes" in line.failed("dispute", "open", about)["message"]
    opened = line.json("dispute", "open", about, "--yes")
    status = line.json("status", about)
    assert status["cause"] == "disputed" and status["dispute_ends_at"] > status["window_closes_at"]
    assert line.json("dispute", "show", about)["deadlines"][1]["what"] == "commit to its trace"
    dispute = world.client(CHALLENGER).dispute(lie.handle)
    lie.commit_trace(dispute.case)

    (tmp_path / "fault.proof").write_bytes(encode_proof(lie.fault.proof()))
    late = line.failed("dispute", "prove", about, "--proof", "fault.proof", "--wait", "0")
    assert late["exit_code"] == ExitCode.NOT_YET
    ripen(world)
    proven = line.json("dispute", "prove", opened["result_id"], "--proof", "fault.proof")
    assert proven["status"] == "refuted" and proven["prover"] == world.client(CHALLENGER).address
    assert line.failed("dispute", "withdraw")["exit_code"] == ExitCode.CONFIGURATION
    settle(world, dispute)
    line.json("dispute", "claim", about)
    paid = line.json("dispute", "withdraw")
    assert paid["paid_wei"] == opened["bond_wei"] + proven["reward_wei"]
    (listed,) = line.json("dispute", "list", "--status", "refuted")
    assert listed["result_id"] == opened["result_id"] and line.json("dispute", "list", "--status", "open") == []


def test_dispute_show_for_people_reads_as_a_timeline(world: World, line: CommandLine, lie: Lie) -> None:
    """Who did what when, who must move until when, in words; nothing but words on a list without disputes."""
    assert "no disputes" in line.run("dispute", "list").out
    assert "not challenged" in line.run("dispute", "show", name_of(lie)).out
    line.json("dispute", "open", name_of(lie), "--yes")
    world.client(FRIEND).dispute(lie.handle).join()
    lie.commit_trace(world.client(CHALLENGER).dispute(lie.handle).case)
    line.json("dispute", "demand", name_of(lie), "chunks", "--value", "1")
    told = line.run("dispute", "show", name_of(lie)).out
    for words in (
        "open",
        "challenges the result with a bond",
        "joins",
        "commits to its trace",
        "demands chunks 0 to 15",
    ):
        assert words in told
    assert "must show chunks 0 to 15 of value 1" in told and "30 min left" in told
    world.chain.advance(world.deployment.parameters["discloseSeconds"] + 90)
    assert "too late" in line.run("dispute", "show", name_of(lie)).out
    line.json("dispute", "convict", name_of(lie))
    assert "convicts the operator for its silence" in line.run("dispute", "show", name_of(lie)).out
    assert name_of(lie)[:10] not in line.run("dispute", "list", "--status", "upheld").out


def test_dispute_prove_command_plays_to_the_end(world: World, line: CommandLine, lie: Lie) -> None:
    """Against a silent operator: opened by hand, time passes, the rest is one command."""
    line.json("dispute", "open", name_of(lie), "--yes")
    world.chain.advance(world.deployment.parameters["traceSeconds"] + 1)
    played = line.run("dispute", "prove", name_of(lie), "--model", "model.onnx", "--yes")
    assert played.code == ExitCode.OK, played.err
    assert "convict the operator for its silence" in played.err and "refuted" in played.out
    assert world.client().reward() == VALUE_AT_RISK


def test_dispute_moves_that_the_contract_refuses_name_the_reason(world: World, line: CommandLine, lie: Lie) -> None:
    """A typed refusal, with its numbers, and its own exit status."""
    line.json("dispute", "open", name_of(lie), "--yes")
    refused = line.failed("dispute", "resolve", name_of(lie))
    assert refused["exit_code"] == ExitCode.REFUSED and refused["type"] == "MoveTooEarly"
    assert "until=" in refused["message"]
    assert line.failed("dispute", "show", "0x" + "11" * 32)["exit_code"] == ExitCode.CONFIGURATION
