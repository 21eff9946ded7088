"""A chain with a block each second, an operator and a small exact model: where `sworn watch` is measured."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil
import requests
from eth_account import Account

from sworn.abi import interface
from sworn.chain.deployment import deploy
from sworn.chain.deployment_files import save_deployment
from sworn.chain.keystore import import_key
from sworn.chain.signer import LocalSigner
from sworn.chain.transactor import Transactor
from sworn.chain.web3_gateway import Web3Gateway, connect_gateway
from sworn.codec.structs import model_to_abi, offer_to_abi
from sworn.codec.tensors import encode_tensors
from sworn.engine.identification import identify
from sworn.engine.protocol import IdentifiedModel, ModelSource
from sworn.testing import gallery
from sworn.testing.anvil import find_anvil
from sworn.testing.local_chain import MNEMONIC, well_known_signers
from sworn.types import Address, Deployment, Offer

ETHER: Final = 10**18
#: Of key files that live as long as the measurement.
PASSWORD: Final = "bench"  # noqa: S105
MODEL: Final = "logistic"
WINDOW_S: Final = 60
#: Anvil takes no more than this into a block; a chain's own limit is not what is measured here.
BLOCK_GAS: Final = 2_000_000_000
ROOT: Final = Path(__file__).resolve().parent.parent
_START_S: Final = 180.0
#: Index of the account whose key sends the watcher's transactions, and bytes of the key that signs results.
_SENDER: Final = 2
_RESULT_KEY: Final = bytes([9]) * 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Everything but the watcher."""

    url: str
    folder: Path
    gateway: Web3Gateway
    deployment: Deployment
    deployment_file: Path
    model: IdentifiedModel
    artifact: Path
    payloads: Sequence[bytes]
    signers: tuple[LocalSigner, ...]

    @property
    def operator(self) -> LocalSigner:
        """Whose stake it is."""
        return self.signers[1]

    @property
    def requester(self) -> LocalSigner:
        """Who asks."""
        return self.signers[3]

    @property
    def plain(self) -> LocalSigner:
        """Who sends in the plain loop."""
        return self.signers[4]

    @property
    def result_signer(self) -> LocalSigner:
        """Whose signatures count."""
        return LocalSigner.from_key(_RESULT_KEY)


@contextmanager
def staged(folder: Path, *, port: int) -> Iterator[Stage]:
    """An anvil with contracts, operator and model, and from then on a block each second."""
    command = [str(find_anvil()), "--port", str(port), "--silent", "--accounts", "10", "--mnemonic", MNEMONIC]
    command += ["--balance", "1000000", "--gas-limit", str(BLOCK_GAS)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as anvil:
        url = f"http://127.0.0.1:{port}"
        try:
            _await(lambda: bool(rpc(url, "eth_chainId")))
            stage = _build(url, folder)
            rpc(url, "evm_setAutomine", False)
            rpc(url, "evm_setIntervalMining", 1)
            yield stage
        finally:
            anvil.kill()


def rpc(url: str, method: str, *params: Any) -> Any:
    """One request to a node."""
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
    answer = requests.post(url, json=body, timeout=60).json()
    if "error" in answer:
        raise SystemExit(f"{method}: {answer['error']}")
    return answer["result"]


class Processors:
    """Seconds of processor time of a watcher and of its workers since it was made: the same on a busy machine."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._before = self._spent()

    def since(self) -> dict[str, float]:
        """By who spent them."""
        return {name: spent - self._before.get(name, 0.0) for name, spent in self._spent().items()}

    def _spent(self) -> dict[str, float]:
        own = self._process.cpu_times()
        workers = [child.cpu_times() for child in self._process.children(recursive=True)]
        return {
            "watcher": own.user + own.system,
            "engine": sum(each.user + each.system for each in workers),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Watching:
    """A watcher that runs."""

    folder: Path
    pid: int
    processors: Processors


@contextmanager
def watching(stage: Stage, name: str, *, url: str = "", max_results: int = 100) -> Iterator[Watching]:
    """`sworn watch` in a process of its own over an empty database, ready."""
    folder = stage.folder / name
    folder.mkdir()
    config = folder / "watcher.toml"
    config.write_text(_settings(stage, folder, url or stage.url, max_results))
    command = [str(Path(sys.executable).with_name("sworn")), "watch", "--config", str(config)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "sdk")}
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log, env=environment) as run:
        try:
            _await(lambda: "watcher_started" in (folder / "log").read_text() or run.poll() is not None)
            if run.poll() is not None:
                raise SystemExit((folder / "log").read_text()[-3000:])
            yield Watching(folder=folder, pid=run.pid, processors=Processors(run.pid))
            run.send_signal(signal.SIGTERM)
            run.wait(timeout=60)
        finally:
            run.kill()


def _build(url: str, folder: Path) -> Stage:
    gateway, signers = connect_gateway(url), well_known_signers()
    artifact = gallery.load(MODEL)
    file = folder / "model.onnx"
    file.write_bytes(artifact)
    deployment = deploy(gateway, signers[0])
    stage = Stage(
        url=url,
        folder=folder,
        gateway=gateway,
        deployment=deployment,
        deployment_file=save_deployment(deployment, folder / "deployment.json"),
        model=identify(ModelSource(artifact=artifact)),
        artifact=file,
        payloads=[],
        signers=signers,
    )
    inputs = stage.model.schema.inputs
    payloads = [encode_tensors(dict(row.inputs), inputs) for row in gallery.rows(MODEL)]
    _register(stage)
    for name, key in (("transaction", _key(_SENDER)), ("result", _RESULT_KEY)):
        imported = import_key(folder / name, key, PASSWORD, scrypt_rounds=2)
        imported.path.rename(folder / f"{name}.json")
    (folder / "password").write_text(PASSWORD)
    return Stage(**{**{each: getattr(stage, each) for each in stage.__slots__}, "payloads": payloads})


def _key(index: int) -> bytes:
    """One of the keys that everybody knows."""
    Account.enable_unaudited_hdwallet_features()
    return bytes(Account.from_mnemonic(MNEMONIC, account_path=f"m/44'/60'/0'/0/{index}").key)


def _register(stage: Stage) -> None:
    def send(signer: LocalSigner, to: Address, contract: str, function: str, *args: object, value_wei: int = 0) -> None:
        transactor = Transactor(gateway=stage.gateway, signer=signer, chain_id=stage.deployment.chain_id)
        transactor.send(to=to, data=interface(contract).encode(function, *args), value_wei=value_wei)

    chain, operators = stage.deployment, stage.deployment.operator_registry
    offer = Offer(active=True, price_wei=1, max_value_at_risk_wei=ETHER, max_window_s=3600, max_callback_gas=0)
    send(stage.operator, chain.model_registry, "ModelRegistry", "register", model_to_abi(stage.model.model))
    send(stage.operator, operators, "OperatorRegistry", "register", "", value_wei=900_000 * ETHER)
    send(stage.operator, operators, "OperatorRegistry", "authorizeSigner", stage.result_signer.address)
    send(stage.operator, operators, "OperatorRegistry", "setOffer", stage.model.model_id, offer_to_abi(offer))


def _settings(stage: Stage, folder: Path, url: str, max_results: int) -> str:
    here = stage.folder
    return f"""
database_url = "sqlite:///{folder}/watcher.db"
operator = "{stage.operator.address}"

[chain]
rpc_url = "{url}"
chain_id = {stage.deployment.chain_id}
deployment = "{stage.deployment_file}"
confirmations = 2
poll_interval_s = 0.2

[keys]
transaction_key = "{here}/transaction.json"
password_file = "{here}/password"
result_key = "{here}/result.json"
result_password_file = "{here}/password"

[[models]]
artifact = "{stage.artifact}"
profile = "exact"
price_wei = 1
max_value_at_risk_wei = {ETHER}
max_window_s = 3600
max_callback_gas = 0

[guards]
min_profit_wei = {-ETHER}
min_time_left_s = 1

[batching]
max_results = {max_results}

[service]
max_in_flight = 2000
queue = 2000
"""


def _await(ready: Any) -> None:
    until = time.monotonic() + _START_S
    while time.monotonic() < until:
        try:
            if ready():
                return
        except (requests.RequestException, OSError):
            pass
        time.sleep(0.1)
    raise SystemExit("nothing started in time")
