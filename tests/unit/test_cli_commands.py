from __future__ import annotations

import json
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from tests.support.command_line import CommandLine
from tests.support.graphs import unary

from sworn.cli.configuration import template
from sworn.cli.exit_codes import ExitCode
from sworn.cli.operators import MAX_CALLBACK_GAS, MAX_WINDOW_S
from sworn.cli.values import DEFAULT, Profiles
from sworn.engine.identification import model_id
from sworn.testing.models import load_model
from sworn.types import DEFAULT_PROFILE, Profile
from sworn.watcher.settings import ModelSettings, ProfileName, validate_settings

KEY = "0x" + "17" * 32
COMMANDS = (
    "demo request status result verify expire finalize retry withdraw deploy watch challenge doctor version",
    "dispute:list show open join demand prove convict resolve claim withdraw",
    "model:id inspect register publish fetch pin unpin list where",
    "operator:register stake serve announce unbond withdraw status",
    "operator signer:authorize revoke",
    "keys:new import list",
    "config:init validate dump",
    "claims:list show retry",
    "jobs:list show retry",
)
PATHS = [
    [*group.partition(":")[0].split(), name] if ":" in group else [name]
    for group in COMMANDS
    for name in group.rpartition(":")[2].split()
]


@pytest.fixture
def line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CommandLine:
    """The command, with an empty home and no settings around it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable in ("SWORN_RPC", "SWORN_CONFIG", "SWORN_PRIVATE_KEY", "SWORN_KEYSTORE", "SWORN_DEPLOYMENT"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    return CommandLine(capsys, monkeypatch)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model file."""
    file = tmp_path / "model.onnx"
    file.write_bytes(load_model("volatility"))
    return file


@pytest.mark.parametrize("path", PATHS, ids=" ".join)
def test_help_of_every_command_is_there(line: CommandLine, path: list[str]) -> None:
    """Every command exists, explains itself and takes --json."""
    outcome = line.run(*path, "--help")
    assert outcome.code == ExitCode.OK
    assert "--json" in outcome.out


def test_help_of_the_whole_names_the_exit_codes(line: CommandLine) -> None:
    """Scripts can read off the help what a code means."""
    outcome = line.run("--help")
    assert all(code.name.lower() in outcome.out for code in ExitCode)


@pytest.mark.parametrize("arguments", [["bogus"], ["status"], ["demo", "--chain", "x"], ["operator", "stake", "1"]])
def test_usage_errors_of_any_kind_exit_with_two(line: CommandLine, arguments: list[str]) -> None:
    """A wrong command line is told on stderr, and as JSON where that was asked for."""
    outcome = line.run(*arguments)
    assert outcome.code == ExitCode.USAGE
    assert outcome.err
    assert not outcome.out
    assert line.failed(*arguments)["exit_code"] == ExitCode.USAGE


def test_amount_without_unit_is_told_how_to_write_it(line: CommandLine) -> None:
    """The message shows a form that works."""
    assert "1eth" in line.failed("operator", "stake", "1")["message"]


def test_missing_chain_says_what_to_do(line: CommandLine) -> None:
    """Without any chain the command names the ways to give one."""
    error = line.failed("status", "0x" + "00" * 32)
    assert error["type"] == "ConfigurationError"
    assert "--rpc" in error["message"]
    assert error["exit_code"] == ExitCode.CONFIGURATION


def test_unreachable_chain_exits_as_transient(line: CommandLine) -> None:
    """A node that does not answer is not a mistake of the caller, and its URL's secrets are not shown."""
    outcome = line.run("status", "0x" + "00" * 32, "--rpc", "http://user:secret@127.0.0.1:9/key-in-path")
    assert outcome.code == ExitCode.CHAIN
    assert "Traceback" not in outcome.err
    assert "secret" not in outcome.err
    assert "key-in-path" not in outcome.err


def test_debug_flag_shows_the_exception(line: CommandLine) -> None:
    """With --debug the error comes through as it was raised."""
    with pytest.raises(Exception, match="no chain is named"):
        line.run("status", "0x" + "00" * 32, "--debug")


def test_version_in_both_forms_names_the_parts(line: CommandLine) -> None:
    """The version is there for people and for machines, wherever --json stands."""
    assert "onnxruntime" in line.run("version").out
    assert line.json("version") == line.run("--json", "version").document


def test_model_id_of_a_file_is_the_recomputed_one(line: CommandLine, model: Path) -> None:
    """The command prints the id and nothing else."""
    expected = "0x" + model_id(model).hex()
    assert line.run("model", "id", str(model)).out == expected + "\n"
    assert line.json("model", "id", str(model)) == {"model_id": expected}
    signed = line.json("model", "id", str(model), "--profile", "signed")["model_id"]
    assert signed == "0x" + model_id(model, profile="signed").hex() != expected


def test_model_inspect_of_a_file_shows_its_schema(line: CommandLine, model: Path) -> None:
    """Names, types and shapes are shown; a person sees them in brackets."""
    document = line.json("model", "inspect", str(model))
    assert document["inputs"] == [{"name": "returns", "dtype": "float32", "shape": [1, 16]}]
    assert document["profile"] == "exact"
    assert "same bits on every machine" in document["promise"]
    assert int(document["program_root"], 16)
    assert "float32[1, 16]" in line.run("model", "inspect", str(model)).out


def test_model_inspect_in_profile_signed_says_that_nothing_is_promised(line: CommandLine, model: Path) -> None:
    """No roots, and a plain word about what that means."""
    document = line.json("model", "inspect", str(model), "--profile", "signed")
    assert document["profile"] == "signed"
    assert "by signature only" in document["promise"]
    assert "program_root" not in document


def test_model_that_cannot_be_lowered_exits_with_reason_and_way_out(line: CommandLine, tmp_path: Path) -> None:
    """The default is refused with the node and what to do, and profile signed takes the file."""
    file = tmp_path / "open.onnx"
    file.write_bytes(unary("Neg", shape=("batch",)))
    failed = line.failed("model", "id", str(file))
    assert (failed["exit_code"], failed["type"]) == (ExitCode.MODEL, "ProfileUnavailable")
    assert "signed" in failed["message"]
    ids = [line.json("model", "id", str(file), "--shape", f"x={size}")["model_id"] for size in (3, 4)]
    assert ids[0] != ids[1]
    assert line.failed("model", "id", str(file), "--shape", "x:3")["exit_code"] == ExitCode.CONFIGURATION
    assert line.json("model", "id", str(file), "--profile", "signed")


def test_model_that_is_none_exits_as_model_error(line: CommandLine, tmp_path: Path) -> None:
    """A file that is no model is a typed error without a traceback."""
    file = tmp_path / "model.onnx"
    file.write_bytes(b"nothing")
    outcome = line.run("model", "inspect", str(file))
    assert outcome.code == ExitCode.MODEL
    assert "Traceback" not in outcome.err
    assert line.failed("model", "id", str(tmp_path / "missing.onnx"))["exit_code"] == ExitCode.MODEL


def test_keys_imported_from_a_variable_are_encrypted_and_listed(
    line: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An imported key is a private, encrypted file; the key itself appears nowhere."""
    (tmp_path / "password").write_text("correct horse\n")
    monkeypatch.setenv("A_KEY", KEY)
    where = ["--directory", str(tmp_path / "keys")]
    password = ["--password-file", str(tmp_path / "password")]
    made = line.json("keys", "import", *where, *password, "--key-env", "A_KEY")
    content = Path(made["file"]).read_text()
    assert KEY[2:] not in content
    assert stat.S_IMODE(Path(made["file"]).stat().st_mode) == 0o600
    assert line.json("keys", "list", *where) == [{"address": made["address"], "file": made["file"]}]
    assert line.failed("keys", "import", *where, *password, "--key-env", "A_KEY")["exit_code"] == ExitCode.KEY


def test_keys_without_password_or_terminal_are_refused(line: CommandLine, tmp_path: Path) -> None:
    """Nothing waits for input that cannot come, and weak passwords are refused."""
    (tmp_path / "short").write_text("abc\n")
    where = ["--directory", str(tmp_path / "keys")]
    assert line.failed("keys", "new", *where)["exit_code"] == ExitCode.KEY
    weak = line.failed("keys", "new", *where, "--password-file", str(tmp_path / "short"))
    assert "too short" in weak["message"]


def test_profiles_have_the_same_names_everywhere() -> None:
    """On the command line, in settings and on chain; and one default."""
    names = {profile.name.lower() for profile in Profile if profile is not Profile.NONE}
    assert {profile.value for profile in Profiles} == {profile.value for profile in ProfileName} == names
    assert {DEFAULT.value, tomllib.loads(template())["models"][0]["profile"]} == {DEFAULT_PROFILE.name.lower()}
    assert all(profile.promise for profile in Profile)


def test_config_template_with_a_key_and_a_model_is_valid(line: CommandLine, tmp_path: Path) -> None:
    """The file to start from holds every section, and its values are accepted as they stand."""
    file = tmp_path / "sworn.toml"
    assert line.run("config", "init", str(file)).code == ExitCode.OK
    assert line.failed("config", "init", str(file))["exit_code"] == ExitCode.CONFIGURATION
    assert line.json("config", "validate", str(file)) == {"valid": True, "daemon": "watcher", "models": 1}
    settings = validate_settings(tomllib.loads(template()))
    assert set(tomllib.loads(template())) == {
        name for name in type(settings).model_fields if name not in ("operator", "artifacts", "trace_server", "metrics")
    }


def test_config_dump_masks_secrets_and_is_toml(
    line: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The effective settings can be read back; keys inside URLs are hidden."""
    file = tmp_path / "sworn.toml"
    line.run("config", "init", str(file))
    monkeypatch.setenv("SWORN_CHAIN__RPC_URL", "https://node.example/v3/topsecret")
    monkeypatch.setenv("SWORN_CHAIN__POLL_INTERVAL_S", "7")
    outcome = line.run("config", "dump", str(file))
    assert outcome.code == ExitCode.OK
    assert "topsecret" not in outcome.out
    values = tomllib.loads(outcome.out)
    assert values["chain"]["poll_interval_s"] == 7
    assert values == json.loads(line.run("config", "dump", str(file), "--json").out)


def test_config_dump_of_input_shapes_is_toml(line: CommandLine, tmp_path: Path) -> None:
    """Names of inputs may hold anything that a file's names do."""
    file = tmp_path / "sworn.toml"
    file.write_text(
        template().replace("# input_shapes = { features = [1, 30] }", "input_shapes = { 'a \"b\"' = [1, 2] }")
    )
    (model,) = tomllib.loads(line.run("config", "dump", str(file)).out)["models"]
    assert (model["profile"], model["input_shapes"]) == ("exact", {'a "b"': [1, 2]})


def test_config_with_problems_lists_them_all(line: CommandLine, tmp_path: Path) -> None:
    """Every problem is named at once."""
    file = tmp_path / "sworn.toml"
    file.write_text('colour = "red"\n[chain]\nrpc_url = "ftp://x"\nchain_id = 0\n')
    message = line.failed("config", "validate", str(file))["message"]
    assert all(word in message for word in ("colour", "chain.rpc_url", "chain.chain_id", "models", "keys"))


def test_doctor_without_a_chain_checks_this_machine(line: CommandLine) -> None:
    """The engine runs a model, and nothing is said about a chain that was not named."""
    document = line.json("doctor")
    checks = {check["check"]: check["verdict"] for check in document["checks"]}
    assert document["ok"]
    assert {checks[f"engine, {profile.value}"] for profile in Profiles} == {checks["packages"]} == {"ok"}
    assert "chain" not in checks


def test_doctor_with_an_unreachable_chain_fails_and_goes_on(line: CommandLine) -> None:
    """Each failure is a line with what to do, and the exit code is 1."""
    outcome = line.run("doctor", "--skip-engine", "--rpc", "http://127.0.0.1:9", "--json")
    assert outcome.code == ExitCode.FAILED
    failed = [check for check in outcome.document["checks"] if check["verdict"] == "fail"]
    assert {check["check"] for check in failed} >= {"chain", "contracts"}
    assert all(check["advice"] for check in failed)


def test_command_tree_builds_without_the_heavy_parts() -> None:
    """The help is there without loading web3, onnx or onnxruntime."""
    code = "import sys, sworn.cli.app as app; app.build(); print([m for m in sys.argv[1:] if m in sys.modules])"
    heavy = ["web3", "eth_keys", "onnx", "onnxruntime", "eth_account", "sqlalchemy", "eth_tester"]
    done = subprocess.run([sys.executable, "-c", code, *heavy], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_offer_made_by_hand_has_the_limits_of_settings() -> None:
    """Whoever follows the guide makes the offer by hand and the settings after it: what differs is not answered."""
    fields = ModelSettings.model_fields
    assert (fields["max_window_s"].default, fields["max_callback_gas"].default) == (MAX_WINDOW_S, MAX_CALLBACK_GAS)
