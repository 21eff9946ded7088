"""Model files by command line: uploaded, announced, fetched, pinned; and who serves a model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from eth_account.hdaccount import key_from_seed, seed_from_mnemonic
from tests.support.client_world import ETHER, PRICE_WEI, World, open_world
from tests.support.command_line import URL, CommandLine
from tests.support.fake_bucket import Bucket, serving_bucket
from tests.support.fake_node import IpfsNode, serving_node

from sworn.chain.deployment_files import save_deployment
from sworn.cli.exit_codes import ExitCode
from sworn.testing.local_chain import MNEMONIC, ChainKind
from sworn.testing.models import load_model
from sworn.types import FailureCode

OPERATOR, STRANGER = 1, 6


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
def line(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> CommandLine:
    """The command, acting as the operator, with the model's file and settings beside it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SWORN_DEPLOYMENT", str(save_deployment(world.deployment, tmp_path)))
    (tmp_path / "model.onnx").write_bytes(world.artifact)
    (tmp_path / "other.onnx").write_bytes(load_model("volatility"))
    monkeypatch.chdir(tmp_path)
    line = CommandLine(capsys, monkeypatch)
    line.use(world.chain.gateway)
    line.act_as(key(OPERATOR))
    return line


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """A bucket that the usual variables name."""
    with serving_bucket() as bucket:
        monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIASECRETKEY")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        yield bucket


@pytest.fixture
def node() -> Iterator[IpfsNode]:
    """An IPFS node."""
    with serving_node() as node:
        yield node


def key(index: int) -> bytes:
    """The private key of one of the chain's accounts."""
    return bytes(key_from_seed(seed_from_mnemonic(MNEMONIC, ""), f"m/44'/60'/0'/0/{index}"))


def settings(world: World, folder: Path, models: str, *, artifacts: str = "", name: str = "sworn.toml") -> str:
    """A settings file of the operator."""
    path = folder / name
    path.write_text(
        f"""
        database_url = "sqlite:///{folder / "watcher.db"}"
        operator = "{world.operator}"
        [chain]
        rpc_url = "{URL}"
        chain_id = {world.deployment.chain_id}
        [keys]
        transaction_key = "none.json"
        [artifacts]
        cache = "cache"
        {artifacts}
        {models}
        """
    )
    return str(path)


def model_table(name: str, price: int) -> str:
    """One model of a settings file."""
    return f"""
        [[models]]
        artifact = "{name}"
        price_wei = {price}
        max_value_at_risk_wei = {ETHER // 10}
        max_window_s = 3600
        max_callback_gas = 500000
        """


def test_model_is_uploaded_announced_and_fetched_by_its_id(
    world: World, line: CommandLine, bucket: Bucket, node: IpfsNode, tmp_path: Path
) -> None:
    """One command puts a file into a bucket, a folder and an IPFS node; another machine needs only the id."""
    config = settings(world, tmp_path, model_table("model.onnx", 1), artifacts=f'ipfs_gateways = ["{node.url}"]')
    keyed = ["--config", config, "--key-env", "SWORN_PRIVATE_KEY"]
    name = hashlib.sha256(world.artifact).hexdigest()
    targets = ["--to", "s3://models/{sha256}", "--to", f"ipfs+{node.url}"]
    made = line.json("model", "publish", "model.onnx", *targets, "--announce", *keyed)
    assert made["uploaded"] == made["announced"] == made["uris"] and made["model_id"] == "0x" + world.model_id.hex()
    assert made["uploaded"][0] == f"s3://models/{name}" and bucket.objects[f"/models/{name}"] == world.artifact
    bare = line.json("model", "publish", "model.onnx", *targets[:2])
    assert bare == {"artifact_hash": "0x" + name, "uploaded": made["uploaded"][:1]}
    elsewhere = settings(
        world,
        tmp_path,
        model_table("model.onnx", 1),
        artifacts=f'ipfs_gateways = ["{node.url}"]\nmax_bytes = 1000000\npublished_buckets = ["s3"]',
        name="elsewhere.toml",
    )
    for gone in ("bucket", "nobody"):
        fetched = line.json("model", "fetch", made["model_id"], "-o", f"{gone}.onnx", "--config", elsewhere)
        assert Path(fetched["file"]).read_bytes() == world.artifact and fetched["artifact_hash"] == "0x" + name
        (tmp_path / "cache" / name[:2] / name).unlink()
        bucket.objects.clear()
    assert line.failed("model", "fetch", made["model_id"], "-o", "other.onnx", "--config", elsewhere)["message"]
    node.dag.blocks.clear()
    (tmp_path / "cache" / name[:2] / name).unlink()
    error = line.failed("model", "fetch", made["model_id"], "--config", elsewhere)
    assert error["exit_code"] == ExitCode.MODEL and "AKIASECRETKEY" not in error["message"]


def test_upload_that_cannot_be_fetched_back_announces_nothing(
    world: World, line: CommandLine, bucket: Bucket, node: IpfsNode, tmp_path: Path
) -> None:
    """Nothing goes on chain that the next watcher could not use: lost uploads, private ones, paths on this machine."""
    before = world.chain.gateway.nonce(world.operator)
    config = settings(world, tmp_path, model_table("model.onnx", 1), artifacts=f'ipfs_gateways = ["{node.url}"]')
    keyed = ["--config", config, "--key-env", "SWORN_PRIVATE_KEY"]
    node.answer = (200, b'{"Hash": "QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o"}')
    error = line.failed("model", "publish", "model.onnx", "--to", f"ipfs+{node.url}", "--announce", *keyed)
    assert "cannot be fetched back" in error["message"]
    error = line.failed("model", "publish", "model.onnx", "--to", f"{tmp_path}/mirror/", "--announce", *keyed)
    assert error["exit_code"] == ExitCode.CONFIGURATION
    error = line.failed("model", "publish", "model.onnx", "--uri", node.url, *keyed)
    assert "public internet" in error["message"]
    assert line.failed("model", "publish", "model.onnx", *keyed)["exit_code"] == ExitCode.CONFIGURATION
    done = line.json("model", "publish", "model.onnx", "--to", f"{tmp_path}/mirror/")
    assert Path(done["uploaded"][0]).read_bytes() == world.artifact
    hostile = "https://mirror.example/\x1b[31m"
    world.client().register_model(world.artifact, uris=[hostile])
    shown = line.run("model", "publish", "model.onnx", "--uri", hostile, "--unverified").out
    assert "mirror.example/?[31m" in shown and "\x1b" not in shown
    assert world.chain.gateway.nonce(world.operator) == before


def test_pinned_model_is_listed_until_it_is_unpinned(world: World, line: CommandLine, tmp_path: Path) -> None:
    """A file or an id can be pinned; an id is fetched first; the list says who holds what."""
    name = "0x" + hashlib.sha256(world.artifact).hexdigest()
    assert line.json("model", "pin", "model.onnx") == {"artifact_hash": name, "pinned": True}
    assert line.json("model", "pin", "0x" + world.model_id.hex()) == {"artifact_hash": name, "pinned": True}
    listed = line.json("model", "list")
    assert listed["bytes"] == len(world.artifact)
    assert [(item["artifact_hash"], item["pinned_by"]) for item in listed["files"]] == [(name, ["by-hand"])]
    assert "by-hand" in line.run("model", "list").out
    for named in (name, "0x" + world.model_id.hex(), "model.onnx"):
        assert line.json("model", "unpin", named) == {"artifact_hash": name, "pinned": False}
    assert line.json("model", "list")["files"][0]["pinned_by"] == []


def test_model_where_shows_price_stake_and_record(world: World, line: CommandLine, tmp_path: Path) -> None:
    """What an operator has sworn, kept, failed and missed is counted; a rival without a record is there too."""
    identity = "0x" + world.model_id.hex()
    for _ in range(2):
        handle = world.request()
        world.chain.gateway.block("latest")
        world.propose(handle.request)
        world.chain.advance(handle.request.window_s + 1)
        handle.finalize()
    world.fail(world.request(), FailureCode.EXECUTION_FAILED)
    missed = world.request(deadline=60)
    world.chain.advance(120)
    world.client().expire(missed.request_id)
    world.request()
    world.enrol(key=4, price_wei=PRICE_WEI // 2, stake_wei=7)
    found = line.json("model", "where", identity)["operators"]
    assert [item["operator"] for item in found] == [world.chain.signers[4].address, world.operator]
    assert found[1]["record"] == {
        "proposed": 2,
        "finalized": 2,
        "refuted": 0,
        "failed": 1,
        "missed": 1,
        "median_blocks": 1.0,
        "disputes_lost": 0,
        "equivocations": 0,
    }
    assert (found[0]["price_wei"], found[0]["free_wei"], found[0]["active"]) == (PRICE_WEI // 2, 7, True)
    shown = line.run("model", "where", "--all").out
    assert identity in shown and "2 of 2" in shown and "1 blocks" in shown
    assert "nobody" in line.run("model", "where", "0x" + "11" * 32).out
    for wrong in ([], [identity, "--all"]):
        assert line.failed("model", "where", *wrong)["exit_code"] == ExitCode.CONFIGURATION


def test_operator_announces_a_settings_file_once(world: World, line: CommandLine, tmp_path: Path) -> None:
    """The difference is shown before it is sent, sending needs a yes, and the second time there is nothing to do."""
    line.json("model", "register", "other.onnx")
    tables = model_table("model.onnx", PRICE_WEI) + model_table("other.onnx", 5)
    keyed = ["--config", settings(world, tmp_path, tables), "--key-env", "SWORN_PRIVATE_KEY"]
    before = world.chain.gateway.nonce(world.operator)
    dry = line.json("operator", "announce", "--dry-run", *keyed)
    assert [item["change"] for item in dry["changes"]] == ["unchanged", "announce"] and dry["transactions"] == []
    assert line.failed("operator", "announce", *keyed)["exit_code"] == ExitCode.CONFIGURATION
    assert world.chain.gateway.nonce(world.operator) == before
    assert len(line.json("operator", "announce", "--yes", *keyed)["transactions"]) == 1
    assert line.json("operator", "announce", "--yes", *keyed)["transactions"] == []
    dearer = ["--config", settings(world, tmp_path, model_table("other.onnx", 6), name="two.toml"), *keyed[2:]]
    shown = line.run("operator", "announce", "--dry-run", *dearer).out
    assert "5 wei 6 wei" in shown and "unchanged" in shown
    only = line.json("operator", "announce", "--only", "--yes", *dearer)
    assert [item["change"] for item in only["changes"]] == ["change", "withdraw"] and len(only["transactions"]) == 2
    gone = line.json("operator", "announce", "--withdraw", "--yes", *dearer)
    assert [item["change"] for item in gone["changes"]] == ["withdraw"]
    assert line.json("operator", "announce", "--withdraw", "--yes", *dearer)["transactions"] == []
    assert not [item for item in line.json("model", "where", "--all")["operators"] if item["active"]]


def test_operator_that_may_not_announce_is_told_why(world: World, line: CommandLine, tmp_path: Path) -> None:
    """Another's key, an unregistered model and the wrong file each stop before anything is sent."""
    keyed = ["--config", settings(world, tmp_path, model_table("other.onnx", 5)), "--key-env", "SWORN_PRIVATE_KEY"]
    assert "sworn model register" in line.failed("operator", "announce", "--yes", *keyed)["message"]
    wrong = model_table("model.onnx", 5) + f'model_id = "0x{"11" * 32}"\n'
    keyed[1] = settings(world, tmp_path, wrong)
    assert "as configured" in line.failed("operator", "announce", "--dry-run", *keyed)["message"]
    line.act_as(key(STRANGER))
    keyed[1] = settings(world, tmp_path, model_table("model.onnx", 5))
    assert "own key" in line.failed("operator", "announce", "--yes", *keyed)["message"]
    assert json.dumps(line.json("operator", "announce", "--dry-run", *keyed)["operator"]) == f'"{world.operator}"'
