"""Runs the `sworn` command inside the test's process, against a chain inside it too."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from sworn.chain.gateway import Gateway
from sworn.cli import compose, compose_endpoints, main
from sworn.cli.places import PRIVATE_KEY_VARIABLE

#: Given with --rpc; no connection is ever made to it.
URL = "http://chain.invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a command line came to."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The JSON document on stdout; fails when stdout is not exactly one."""
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, Any]:
        """What is in an error document."""
        error: dict[str, Any] = self.document["error"]
        return error


class CommandLine:
    """Runs command lines and hands back what they print."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys = capsys
        self._monkeypatch = monkeypatch

    def use(self, gateway: Gateway) -> None:
        """From now on every URL leads to this chain."""
        self._monkeypatch.setenv("SWORN_RPC", URL)
        self._monkeypatch.setattr(compose, "gateway", lambda url, *, timeout_s: gateway)
        self._monkeypatch.setattr(compose_endpoints, "connect_gateway", lambda url, *, timeout_s: gateway)

    def act_as(self, private_key: bytes) -> None:
        """From now on commands sign with this key."""
        self._monkeypatch.setenv(PRIVATE_KEY_VARIABLE, private_key.hex())

    def run(self, *arguments: str) -> Outcome:
        """One command line, words as given."""
        self._capsys.readouterr()
        code = main(arguments)
        captured = self._capsys.readouterr()
        return Outcome(code=code, out=captured.out, err=captured.err)

    def json(self, *arguments: str) -> Any:
        """The document of a command line that must succeed."""
        outcome = self.run(*arguments, "--json")
        assert outcome.code == 0, outcome.out
        return outcome.document

    def failed(self, *arguments: str) -> dict[str, Any]:
        """The error document of a command line that must fail."""
        outcome = self.run(*arguments, "--json")
        assert outcome.code != 0, outcome.out
        assert outcome.error["exit_code"] == outcome.code
        return outcome.error
