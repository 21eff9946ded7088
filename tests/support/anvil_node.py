"""A test chain in a process of its own: anvil."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import requests
from eth_utils.address import to_checksum_address
from tests.support.accounts import MNEMONIC
from tests.support.node import BALANCE_ETHER, BLOCK_GAS_LIMIT, GENESIS_TIME, CallReverted, Message, RawLog, RawReceipt

from sworn.types import Address

_NODE_MODULES = Path(__file__).resolve().parents[2] / "node_modules"
_STARTED = re.compile(r"Listening on 127\.0\.0\.1:(\d+)")
#: JSON-RPC code of a reverted call.
_REVERT_CODE = 3
_START_CHECK_S = 0.05
_START_CHECKS = 400


def find_anvil() -> Path | None:
    """The binary that npm brought, else one on PATH."""
    found = sorted(_NODE_MODULES.glob("@foundry-rs/anvil-*/bin/anvil"))
    on_path = shutil.which("anvil")
    return found[0] if found else Path(on_path) if on_path else None


class AnvilError(Exception):
    """Anvil did not start, or refused a request."""


class AnvilNode:
    """Implements `Node`; listens on a free port of 127.0.0.1 at ``url``."""

    name = "anvil"

    def __init__(self, binary: Path) -> None:
        arguments = {
            "--port": 0,
            "--mnemonic": MNEMONIC,
            "--balance": BALANCE_ETHER,
            "--timestamp": GENESIS_TIME,
            "--gas-limit": BLOCK_GAS_LIMIT,
        }
        command = [str(binary), *(str(part) for pair in arguments.items() for part in pair)]
        # A file and no pipe: anvil logs every call, and nobody reads along.
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 -- `close` closes it
        self._process = subprocess.Popen(command, stdout=self._log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        self.url = f"http://127.0.0.1:{self._read_port()}"
        self._session = requests.Session()
        # No proxy settings from the environment: the node is on this machine.
        self._session.trust_env = False
        self.chain_id = int(self._rpc("eth_chainId"), 16)

    def latest_time(self) -> int:
        return int(self._rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)

    def call(self, message: Message, *, timestamp: int) -> bytes:
        overrides = {"time": hex(timestamp)}
        return _octets(self._rpc("eth_call", _parameters(message), "latest", {}, overrides))

    def send(self, message: Message, *, timestamp: int) -> RawReceipt:
        self._rpc("evm_setNextBlockTimestamp", timestamp)
        receipt = self._rpc("eth_sendTransactionSync", _parameters(message))
        return RawReceipt(
            succeeded=int(receipt["status"], 16) == 1,
            gas_used=int(receipt["gasUsed"], 16),
            logs=tuple(map(_log, receipt["logs"])),
        )

    def send_raw(self, raw: bytes, *, timestamp: int) -> None:
        self._rpc("evm_setNextBlockTimestamp", timestamp)
        self._rpc("eth_sendRawTransactionSync", "0x" + raw.hex())

    def balance(self, address: Address) -> int:
        return int(self._rpc("eth_getBalance", address, "latest"), 16)

    def nonce(self, address: Address) -> int:
        return int(self._rpc("eth_getTransactionCount", address, "latest"), 16)

    def code(self, address: Address) -> bytes:
        return _octets(self._rpc("eth_getCode", address, "latest"))

    def snapshot(self) -> object:
        return self._rpc("evm_snapshot")

    def restore(self, snapshot: object) -> None:
        if not self._rpc("evm_revert", snapshot):
            raise AnvilError(f"no snapshot {snapshot}")

    def close(self) -> None:
        self._session.close()
        self._process.terminate()
        self._process.wait(timeout=30)
        self._log.close()

    def _read_port(self) -> int:
        output = ""
        for _ in range(_START_CHECKS):
            self._log.seek(0)
            output = self._log.read()
            if started := _STARTED.search(output):
                return int(started[1])
            if self._process.poll() is not None:
                break
            time.sleep(_START_CHECK_S)
        raise AnvilError(f"anvil does not start:\n{output}")

    def _rpc(self, method: str, *params: Any) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = self._session.post(self.url, json=body, timeout=60).json()
        if "error" not in answer:
            return answer["result"]
        if answer["error"]["code"] == _REVERT_CODE:
            raise CallReverted(_octets(answer["error"].get("data") or "0x"))
        raise AnvilError(f"{method}: {answer['error']}")


def _parameters(message: Message) -> dict[str, str]:
    parameters = {
        "from": message.sender,
        "data": "0x" + message.data.hex(),
        "value": hex(message.value_wei),
        "gas": hex(message.gas),
    }
    return parameters | ({"to": message.to} if message.to else {})


def _octets(text: str) -> bytes:
    return bytes.fromhex(text[2:])


def _log(log: Any) -> RawLog:
    return RawLog(
        address=Address(to_checksum_address(log["address"])),
        topics=tuple(map(_octets, log["topics"])),
        data=_octets(log["data"]),
    )
