"""An anvil process as a `LocalChain`."""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any, Final

import requests

from sworn.chain.gateway import AsyncGateway, Gateway
from sworn.chain.signer import LocalSigner
from sworn.chain.web3_gateway import connect_gateway
from sworn.chain.web3_gateway_async import async_connect_gateway
from sworn.errors import ConfigurationError, TransientChainError
from sworn.testing.local_chain import ACCOUNTS, MNEMONIC, ChainKind, well_known_signers

_BINARY_VARIABLE: Final = "SWORN_ANVIL"
_START_TIMEOUT_S: Final = 20.0
#: Another process may take a port between the moment it was found free and anvil's start.
_START_ATTEMPTS: Final = 3
_RPC_TIMEOUT_S: Final = 10.0


def find_anvil() -> Path:
    """The anvil binary: ``$SWORN_ANVIL``, else on PATH, else in a ``node_modules`` here or in a folder above.

    Raises `ConfigurationError`.
    """
    named = os.environ.get(_BINARY_VARIABLE)
    found = named or shutil.which("anvil")
    if found:
        if not os.access(found, os.X_OK):
            raise ConfigurationError(f"{found} is not an executable file")
        return Path(found)
    here = Path.cwd()
    for folder in (here, *here.parents, *Path(__file__).resolve().parents):
        for binary in sorted(folder.glob("node_modules/@foundry-rs/anvil-*/bin/anvil")):
            if os.access(binary, os.X_OK):
                return binary
    raise ConfigurationError(
        f"there is no anvil binary: install Foundry, or set {_BINARY_VARIABLE}; "
        "in a checkout `scripts/demo --chain anvil` installs one"
    )


class AnvilChain:
    """A `LocalChain` that ends with this process at the latest.

    Raises `ConfigurationError` when there is no binary, `TransientChainError` when it does not start.
    """

    kind: Final = ChainKind.ANVIL

    def __init__(self, binary: Path | None = None) -> None:
        self._process, self._url = _start(binary or find_anvil())
        atexit.register(self.close)
        self._gateway = connect_gateway(self._url)
        self._signers = well_known_signers()

    @property
    def gateway(self) -> Gateway:
        return self._gateway

    @property
    def signers(self) -> tuple[LocalSigner, ...]:
        return self._signers

    @property
    def url(self) -> str:
        return self._url

    def async_gateway(self) -> AsyncGateway:
        return async_connect_gateway(self._url)

    def mine(self, blocks: int = 1) -> None:
        _rpc(self._url, "anvil_mine", hex(blocks))

    def advance(self, seconds: int) -> None:
        head = self._gateway.block("latest").timestamp
        _rpc(self._url, "evm_setNextBlockTimestamp", hex(head + max(seconds, 1)))
        self.mine()

    def snapshot(self) -> Any:
        return _rpc(self._url, "evm_snapshot")

    def revert(self, mark: Any) -> None:
        _rpc(self._url, "evm_revert", mark)

    def close(self) -> None:
        atexit.unregister(self.close)
        _stop(self._process)


def _start(binary: Path) -> tuple[subprocess.Popen[bytes], str]:
    for _ in range(_START_ATTEMPTS):
        port = _free_port()
        command = [str(binary), "--port", str(port), "--silent", "--accounts", str(ACCOUNTS), "--mnemonic", MNEMONIC]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        url = f"http://127.0.0.1:{port}"
        if _answers(process, url):
            return process, url
        _stop(process)
    raise TransientChainError(f"{binary} did not start within {_START_TIMEOUT_S:g} s")


def _answers(process: subprocess.Popen[bytes], url: str) -> bool:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            _rpc(url, "eth_chainId")
        except TransientChainError:
            time.sleep(0.05)
            continue
        return process.poll() is None
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _rpc(url: str, method: str, *params: Any) -> Any:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
    try:
        answer = requests.post(url, json=body, timeout=_RPC_TIMEOUT_S).json()
    except (requests.RequestException, ValueError) as error:
        raise TransientChainError(f"anvil does not answer {method}: {type(error).__name__}") from error
    if "error" in answer:
        raise TransientChainError(f"anvil refused {method}: {answer['error'].get('message')}")
    return answer["result"]
