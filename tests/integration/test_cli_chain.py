"""The whole path by command line alone: deploy, become an operator, ask, answer, pay out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from eth_account.hdaccount import key_from_seed, seed_from_mnemonic
from tests.support.command_line import URL, CommandLine

from sworn.chain.keystore import import_key
from sworn.cli.exit_codes import ExitCode
from sworn.testing.local_chain import MNEMONIC, LocalChain, start_chain
from sworn.testing.models import example_rows, load_model

ETHER = 10**18
PASSWORD = "correct horse"
PRICE = ETHER // 1000
DEPLOYER, OPERATOR, SIGNER, REQUESTER, SENDER, STRANGER = range(6)
ROW = json.dumps(example_rows("diabetes_progression")[0].inputs["features"].tolist())
NOTHING = "0x" + "00" * 32


def key(index: int) -> bytes:
    """The private key of one of the chain's accounts."""
    return bytes(key_from_seed(seed_from_mnemonic(MNEMONIC, ""), f"m/44'/60'/0'/0/{index}"))


@pytest.fixture
def chain() -> Iterator[LocalChain]:
    """An empty chain."""
    with start_chain() as chain:
        yield chain


class World:
    """A deployment with an operator, all made by command line."""

    def __init__(self, line: CommandLine, chain: LocalChain, folder: Path) -> None:
        self.line = line
        self.chain = chain
        self.folder = folder
        self.model = str(folder / "model.onnx")
        self.settings = str(folder / "sworn.toml")

    def build(self) -> None:
        """Deploys, registers, offers, and writes the watcher's settings."""
        Path(self.model).write_bytes(load_model("diabetes_progression"))
        self.line.act_as(key(DEPLOYER))
        self.line.json("deploy", "-p", "minWindowSeconds=5")
        self.line.act_as(key(OPERATOR))
        self.line.json("operator", "register", "--stake", "5eth", "--metadata", "https://operator.example")
        self.line.json("operator", "signer", "authorize", self.chain.signers[SIGNER].address)
        self.line.json("model", "register", self.model, "--uri", "https://mirror.example/model.onnx")
        self.line.json("operator", "serve", self.model, "--price", "0.001eth", "--max-value-at-risk", "1eth")
        self.write_settings()
        self.line.act_as(key(REQUESTER))

    def write_settings(self) -> None:
        """Settings with two key files."""
        (self.folder / "password").write_text(PASSWORD)
        files = [
            import_key(self.folder / "keys", key(index), PASSWORD, scrypt_rounds=2).path for index in (SENDER, SIGNER)
        ]
        Path(self.settings).write_text(
            f"""
            database_url = "sqlite:///{self.folder / "watcher.db"}"
            operator = "{self.chain.signers[OPERATOR].address}"
            [chain]
            rpc_url = "{URL}"
            chain_id = {self.chain.gateway.chain_id()}
            poll_interval_s = 0.02
            confirmations = 0
            [keys]
            transaction_key = "{files[0]}"
            result_key = "{files[1]}"
            password_file = "password"
            [[models]]
            artifact = "model.onnx"
            price_wei = {PRICE}
            max_value_at_risk_wei = {ETHER}
            [guards]
            min_profit_wei = -{ETHER}
            """
        )

    def request(self, *options: str) -> str:
        """A request's id."""
        made = self.line.json("request", self.model, "--input", f"features={ROW}", *options)
        return str(made["request_id"])

    def watch(self) -> None:
        """One round of the watcher."""
        outcome = self.line.run("watch", "--once", "--config", self.settings, "--json")
        assert outcome.code == ExitCode.OK, outcome.out


@pytest.fixture
def line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CommandLine:
    """The command, with an empty home."""
    monkeypatch.setenv("HOME", str(tmp_path))
    return CommandLine(capsys, monkeypatch)


@pytest.fixture
def world(line: CommandLine, chain: LocalChain, tmp_path: Path) -> World:
    """A deployment with an operator; the requester acts."""
    line.use(chain.gateway)
    world = World(line, chain, tmp_path)
    world.build()
    return world


def test_request_by_command_line_is_answered_finalized_and_saved(world: World, tmp_path: Path) -> None:
    """From the request to the outputs in a file, each step one command."""
    request_id = world.request("--value-at-risk", "0.1eth")
    assert world.line.json("status", request_id)["cause"] == "waiting"
    world.watch()
    status = world.line.json("status", request_id)
    assert (status["status"], status["cause"]) == ("proposed", "window_running")
    proposed = world.line.json("result", request_id, "--until", "proposed")
    assert proposed["final"] is False
    assert (proposed["profile"], status["profile"]) == ("exact", "exact")
    assert "same bits on every machine" in proposed["promise"] == status["promise"]
    assert proposed["signer"] == world.chain.signers[SIGNER].address
    early = world.line.failed("result", request_id)
    assert (early["type"], early["exit_code"]) == ("RequestTimeout", ExitCode.NOT_YET)
    world.chain.advance(10)
    world.watch()
    saved = tmp_path / "out.npz"
    final = world.line.json("result", request_id, "--model", world.model, "--save", str(saved))
    assert final["final"] is True
    expected = example_rows("diabetes_progression")[0].outputs["progression"]
    assert np.allclose(final["outputs"]["progression"]["data"], expected, atol=1e-3)
    assert np.load(saved)["progression"].dtype == np.float32


def test_operator_by_command_line_earns_and_leaves(world: World) -> None:
    """Earnings are paid out, the offer is withdrawn, the stake unbonds."""
    world.request()
    world.watch()
    world.chain.advance(10)
    world.watch()
    world.line.act_as(key(OPERATOR))
    assert world.line.json("operator", "status")["earned_wei"] == PRICE
    assert world.line.json("operator", "withdraw")["earned_wei"] == PRICE
    assert world.line.json("operator", "serve", world.model, "--stop")["active"] is False
    assert world.line.json("operator", "stake", "1eth")["added_wei"] == ETHER
    revoked = world.line.json("operator", "signer", "revoke", world.chain.signers[SIGNER].address)
    assert revoked["not_after"] < 2**40 - 1
    assert world.line.json("operator", "unbond", "2eth")["unbonding_wei"] == 2 * ETHER
    assert world.line.json("operator", "unbond", "--cancel")["unbonding_wei"] == 0
    release_at = world.line.json("operator", "unbond", "--all")["release_at"]
    assert "released" in world.line.failed("operator", "withdraw")["message"]
    world.chain.advance(release_at - world.chain.gateway.block("latest").timestamp + 1)
    assert world.line.json("operator", "withdraw")["stake_wei"] == 6 * ETHER
    status = world.line.json("operator", "status", world.chain.signers[OPERATOR].address)
    assert status["stake_wei"] == 0
    assert [offer["active"] for offer in status["offers"]] == [False]


def test_model_in_another_profile_by_command_line_is_another_model(world: World) -> None:
    """Registered, offered and asked for by name of its profile; nothing is offered under the other ids."""
    world.line.act_as(key(OPERATOR))
    made = world.line.json("model", "register", world.model, "--profile", "signed")
    assert made["profile"] == "signed" and "by signature only" in made["promise"]
    assert made["model_id"] == world.line.json("model", "id", world.model, "--profile", "signed")["model_id"]
    world.line.json("operator", "serve", world.model, "--profile", "signed", "--price", "7wei")
    world.line.act_as(key(REQUESTER))
    quote = ["request", world.model, "--input", f"features={ROW}", "--quote", "--profile"]
    assert world.line.json(*quote, "signed")["fee_wei"] == 7
    assert world.line.json(*quote, "exact")["fee_wei"] == PRICE
    assert "input shape" in world.line.failed(*quote, "bounded")["message"]
    asked = world.line.json("request", made["model_id"], "--input", f"features={ROW}", "--value-at-risk", "0wei")
    assert asked["model_id"] == made["model_id"]
    assert world.line.json("status", asked["request_id"])["profile"] == "signed"


def test_operator_status_for_people_is_readable(world: World) -> None:
    """The table shows ether and dates, not wei and timestamps."""
    outcome = world.line.run("operator", "status", world.chain.signers[OPERATOR].address)
    assert "5 ETH" in outcome.out
    assert "0.001 ETH" in outcome.out


def test_request_that_nobody_answers_is_expired_and_refunded(world: World) -> None:
    """The deadline passes, anyone expires, the fee is withdrawn."""
    request_id = world.request("--deadline", "60")
    refused = world.line.failed("expire", request_id)
    assert (refused["type"], refused["exit_code"]) == ("DeadlineNotPassed", ExitCode.REFUSED)
    world.chain.advance(100)
    assert world.line.json("status", request_id)["cause"] == "expirable"
    world.line.act_as(key(STRANGER))
    world.line.json("expire", request_id)
    ended = world.line.failed("result", request_id)
    assert (ended["type"], ended["exit_code"]) == ("RequestExpired", ExitCode.NO_RESULT)
    world.line.act_as(key(REQUESTER))
    assert world.line.json("withdraw")["refunded_wei"] == PRICE
    assert "nothing to withdraw" in world.line.failed("withdraw")["message"]


@pytest.mark.parametrize(
    ("options", "kind", "code"),
    [
        (["--input", "features=[[1.0]]"], "ShapeMismatch", ExitCode.CONFIGURATION),
        (["--input", "colour=[[1.0]]"], "ShapeMismatch", ExitCode.CONFIGURATION),
        (["--input", 'features="red"'], "ShapeMismatch", ExitCode.CONFIGURATION),
        ([], "CodecError", ExitCode.CONFIGURATION),
        (["--input", f"features={ROW}", "--max-fee", "1wei"], "QuoteError", ExitCode.NO_RESULT),
        (["--input", f"features={ROW}", "--value-at-risk", "9eth"], "QuoteError", ExitCode.NO_RESULT),
        (["--input", f"features={ROW}", "--operator", "0x12"], "ConfigurationError", ExitCode.CONFIGURATION),
        (["--input", f"features={ROW}", "--window", "1"], "WindowOutOfRange", ExitCode.REFUSED),
    ],
    ids=["shape", "name", "text", "none", "fee", "risk", "operator", "window"],
)
def test_request_on_terms_that_cannot_be_met_says_why(
    world: World, options: list[str], kind: str, code: ExitCode
) -> None:
    """Bad inputs and bad terms are typed errors before anything is spent."""
    before = world.chain.gateway.nonce(world.chain.signers[REQUESTER].address)
    error = world.line.failed("request", world.model, *options)
    assert (error["type"], error["exit_code"]) == (kind, code)
    assert world.chain.gateway.nonce(world.chain.signers[REQUESTER].address) == before


def test_quote_by_command_line_names_price_and_bond(world: World) -> None:
    """A quote costs nothing and says what a request would."""
    quote = world.line.json("request", world.model, "--quote", "--value-at-risk", "0.5eth")
    assert (quote["fee_wei"], quote["bond_wei"]) == (PRICE, ETHER)


def test_published_mirrors_by_command_line_are_not_doubled(world: World) -> None:
    """Publishing a mirror again sends nothing."""
    before = world.chain.gateway.block("latest").number
    known = ["--uri", "https://mirror.example/model.onnx", "--unverified"]
    done = world.line.json("model", "publish", world.model, *known)
    assert done["uris"] == ["https://mirror.example/model.onnx"]
    assert world.chain.gateway.block("latest").number == before
    other = ["--uri", "https://other.example/model.onnx"]
    more = world.line.json("model", "publish", world.model, *other, "--unverified")
    assert more["uris"] == ["https://mirror.example/model.onnx", "https://other.example/model.onnx"]


def test_signing_commands_without_a_key_say_how_to_name_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """No key is an answerable mistake."""
    monkeypatch.delenv("SWORN_PRIVATE_KEY")
    error = world.line.failed("operator", "register")
    assert "--keystore" in error["message"]
    assert error["exit_code"] == ExitCode.CONFIGURATION


def test_unknown_request_in_every_command_is_a_typed_error(world: World) -> None:
    """A mistyped id never ends in a traceback."""
    assert world.line.json("status", NOTHING)["cause"] == "unknown"
    for command in ("result", "expire", "finalize", "retry"):
        assert world.line.failed(command, NOTHING)["type"] == "RequestUnknown"


def test_doctor_with_settings_approves_a_working_operator(world: World) -> None:
    """Everything that a watcher needs is checked and found."""
    document = world.line.json("doctor", "--skip-engine", "--config", world.settings)
    checks = {check["check"]: check["verdict"] for check in document["checks"]}
    wanted = ("settings", "chain", "contracts", "transaction key", "operator", "result signer", "model model.onnx")
    assert all(checks[name] == "ok" for name in wanted)
    assert checks["database"] == "ok"
    assert not (world.folder / "watcher.db").exists()


def test_doctor_after_work_looks_into_the_books(world: World) -> None:
    """A node that has worked is judged by what it has in hand: work, disputes, transactions, and whether it adds up."""
    world.watch()
    world.line.act_as(key(OPERATOR))
    world.line.json("operator", "serve", world.model, "--price", "0.001eth", "--max-window", "60")
    document = world.line.json("doctor", "--skip-engine", "--config", world.settings)
    checks = {check["check"]: check["verdict"] for check in document["checks"]}

    assert {checks[name] for name in ("work", "disputes", "transactions", "books", "result key")} == {"ok"}
    assert any(name.startswith("mirrors of ") for name in checks)
    # Nobody would be told of trouble.
    advised = {check["check"]: check["advice"] for check in document["checks"] if check["verdict"] == "warn"}
    assert "[metrics]" in advised["metrics"]
    # An offer without limits: nobody with something to lose asks, and the settings say that it is served.
    (model,) = (check for check in document["checks"] if check["check"] == "model model.onnx")
    assert model["verdict"] == "warn"
    assert "value at risk 0 ETH, here 1 ETH" in model["detail"] and "window 60 s" in model["detail"]
    assert "operator announce" in model["advice"]
    _asks_about_the_operator_of_the_settings(world)
    _looks_at_a_challenger(world)


def _asks_about_the_operator_of_the_settings(world: World) -> None:
    """The key that sends is another account: its empty lists would look like an operator who has lost everything."""
    (listed,) = world.line.json("operator", "signer", "list", "--config", world.settings)
    assert listed["signer"] == world.chain.signers[SIGNER].address


def _looks_at_a_challenger(world: World) -> None:
    """Whoever checks others needs chain, key, funds and a database as well, and has no models."""
    kept = Path(world.settings).read_text().split("[[models]]")[0].splitlines()
    text = "\n".join(line for line in kept if not line.strip().startswith(("operator", "result_key")))
    file = world.folder / "challenger.toml"
    file.write_text(text.replace("watcher.db", "challenger.db") + "\n[challenge]\nsample = 0.5\n")
    absent = _verdicts(world.line.json("doctor", "--skip-engine", "--config", str(file)))
    assert {absent[name] for name in ("settings", "chain", "contracts", "transaction key", "funds")} == {"ok"}
    assert "operator" not in absent and "work" not in absent
    assert world.line.run("db", "upgrade", "--config", str(file)).code == ExitCode.OK
    there = _verdicts(world.line.json("doctor", "--skip-engine", "--config", str(file)))
    assert {there[name] for name in ("database", "work", "disputes", "transactions", "room for traces")} == {"ok"}
    assert world.line.json("dispute", "list", "--config", str(file)) == []
    assert world.line.failed("operator", "announce", "--config", str(file))["type"] == "ConfigurationError"


def _verdicts(document: dict[str, Any]) -> dict[str, str]:
    return {check["check"]: check["verdict"] for check in document["checks"]}


def test_doctor_with_settings_finds_what_is_missing(world: World) -> None:
    """A signer without authority, another model than configured, an account without ether: each is said."""
    text = Path(world.settings).read_text()
    stranger = import_key(world.folder / "more", bytes([7]) * 32, PASSWORD, scrypt_rounds=2).path
    lines = [
        f'transaction_key = "{stranger}"' if "transaction_key" in line else line
        for line in text.splitlines()
        if "result_key" not in line
    ]
    lines = [line.replace('"model.onnx"', f'"model.onnx"\nmodel_id = "{NOTHING}"') for line in lines]
    Path(world.settings).write_text("\n".join(lines))
    outcome = world.line.run("doctor", "--skip-engine", "--config", world.settings, "--json")
    assert outcome.code == ExitCode.FAILED
    failed = {check["check"] for check in outcome.document["checks"] if check["verdict"] == "fail"}
    assert {"funds", "result signer", "model model.onnx"} <= failed


def test_watch_without_settings_lists_what_is_missing(line: CommandLine, chain: LocalChain) -> None:
    """A watcher that cannot start says everything that it lacks."""
    line.use(chain.gateway)
    message = line.failed("watch", "--once")["message"]
    assert "models" in message
    assert "database_url" in message


def test_watch_on_another_chain_than_configured_does_not_start(world: World) -> None:
    """The settings' chain id is a promise."""
    text = Path(world.settings).read_text()
    Path(world.settings).write_text(text.replace("chain_id = ", "chain_id = 1"))
    error = world.line.failed("watch", "--once", "--config", world.settings)
    assert error["exit_code"] == ExitCode.CONFIGURATION


def test_commands_without_contracts_say_which_deployment_is_missing(line: CommandLine, chain: LocalChain) -> None:
    """A chain without a known deployment is named, with what to do."""
    line.use(chain.gateway)
    line.act_as(key(REQUESTER))
    error = line.failed("status", NOTHING)
    assert error["type"] == "DeploymentUnknown"
    assert "--deployment" in error["hint"]
