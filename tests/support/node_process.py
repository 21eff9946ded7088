"""A node as an operator has one: keystores in files, and the command line in a process of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from eth_account.hdaccount import key_from_seed, seed_from_mnemonic

from sworn.chain.keystore import import_key
from sworn.errors import ConfigurationError
from sworn.testing.anvil import AnvilChain, find_anvil
from sworn.testing.local_chain import MNEMONIC
from sworn.testing.local_oracle import LocalOracle

#: The command line as a program for ``python -c``, and as the first words of a command.
PROGRAM: Final = "import sys; from sworn.cli import main; sys.exit(main())"
COMMAND: Final = (sys.executable, "-c", PROGRAM)


@contextmanager
def oracle_on_anvil() -> Iterator[LocalOracle]:
    """An oracle with an enrolled operator whose own watcher stays idle; the test is skipped where there is no anvil."""
    try:
        find_anvil()
    except ConfigurationError:
        pytest.skip("no anvil")
    chain = AnvilChain()
    try:
        oracle = LocalOracle(chain)
        try:
            oracle.enrol()
            yield oracle
        finally:
            oracle.close()
    finally:
        chain.close()


def private_key(index: int) -> bytes:
    """The private key of one of the local chain's well-known accounts."""
    return bytes(key_from_seed(seed_from_mnemonic(MNEMONIC, ""), f"m/44'/60'/0'/0/{index}"))


def keystores(folder: Path, *indices: int, password: str) -> list[Path]:
    """Encrypted keys of accounts, and ``password`` in a file of that name beside their folder."""
    file = folder / "password"
    file.write_text(f"{password}\n")
    file.chmod(0o600)
    return [import_key(folder / "keys", private_key(index), password, scrypt_rounds=2).path for index in indices]


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@contextmanager
def running(
    *command: str, log: Path, out: Path | None = None, environment: Mapping[str, str] = os.environ
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that writes to files, stdout too unless ``out`` takes it; whatever is left of it is killed."""
    with log.open("ab") as err, (out or log).open("ab") as said:
        process = subprocess.Popen(command, stdout=said, stderr=err, env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_until(done: Callable[[], bool], *, log: Path, timeout_s: float) -> None:
    """Waits until something is so; where it never is, the end of the log is the complaint."""
    deadline = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < deadline, log.read_text()[-6_000:]
        time.sleep(0.05)


def wait_for(word: str, *, log: Path, process: subprocess.Popen[bytes], timeout_s: float) -> None:
    """Waits until a word is in the log of a process that lives."""
    wait_until(lambda: word in log.read_text() or process.poll() is not None, log=log, timeout_s=timeout_s)
    assert word in log.read_text(), f"ended with {process.returncode}: {log.read_text()[-6_000:]}"
