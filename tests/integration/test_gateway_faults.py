"""What the gateway makes of nodes that misbehave."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, ClassVar

import pytest

from sworn.chain.gateway import Call
from sworn.chain.web3_gateway import connect_gateway
from sworn.chain.web3_gateway_errors import rpc_error
from sworn.errors import (
    BlockUnavailable,
    ChainError,
    ConfigurationError,
    ContractRevert,
    FundsTooLow,
    NonceTooLow,
    SwornError,
    TransactionKnown,
    TransactionRejected,
    TransactionUnderpriced,
    TransientChainError,
)


class _Node(BaseHTTPRequestHandler):
    status: ClassVar[int] = 200
    body: ClassVar[bytes] = b""
    requests: ClassVar[int] = 0

    def do_POST(self) -> None:
        _Node.requests += 1
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *args: Any) -> None:
        """Says nothing."""


@pytest.fixture
def node() -> Iterator[str]:
    """A node that answers as `_Node` is told to; its URL holds a secret."""
    server = HTTPServer(("127.0.0.1", 0), _Node)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    _Node.requests = 0
    yield f"http://127.0.0.1:{server.server_port}/secret"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (429, b"", TransientChainError),
        (503, b"", TransientChainError),
        (401, b"", ConfigurationError),
        (400, b"", ChainError),
        (200, b"<html>busy</html>", TransientChainError),
        (200, json.dumps({"jsonrpc": "2.0", "id": 0, "error": {"code": -32005, "message": "x"}}).encode(), ChainError),
    ],
)
def test_gateway_http_fault_is_typed_and_hides_the_url(
    node: str, status: int, body: bytes, kind: type[SwornError]
) -> None:
    """HTTP statuses and error pages become what the caller should do about them; nothing is retried here."""
    _Node.status, _Node.body = status, body
    with pytest.raises(kind) as caught:
        connect_gateway(node, timeout_s=5).send_raw(b"\x02")
    assert "secret" not in str(caught.value)
    assert _Node.requests == 1


def test_gateway_url_without_http_is_a_configuration_error() -> None:
    """Only http and https URLs are nodes, and a refused one is not shown."""
    for url in ("ws://secret", "secret", "http://", "http://x:secret/"):
        with pytest.raises(ConfigurationError) as caught:
            connect_gateway(url)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("nonce too low: next nonce 5, tx nonce 3", NonceTooLow),
        ("already known", TransactionKnown),
        ("transaction already imported", TransactionKnown),
        ("replacement transaction underpriced", TransactionUnderpriced),
        ("transaction underpriced: tip needed 1, tip permitted 0", TransactionUnderpriced),
        ("max fee per gas less than block base fee: address 0x", TransactionUnderpriced),
        ("insufficient funds for gas * price + value: balance 0", FundsTooLow),
        ("AlreadyKnown", TransactionKnown),
        ("FeeTooLow", TransactionUnderpriced),
        ("intrinsic gas too low", TransactionRejected),
        ("txpool is full", TransientChainError),
    ],
)
def test_rpc_error_of_send_is_typed_by_the_table(message: str, kind: type[SwornError]) -> None:
    """The texts of the usual nodes are known."""
    error = rpc_error({"code": -32000, "message": message}, method="eth_sendRawTransaction")
    assert type(error) is kind


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": 3, "message": "execution reverted", "data": "0x"}, ContractRevert),
        ({"code": -32015, "message": "VM execution error.", "data": "Reverted 0x08c379a0"}, ContractRevert),
        ({"code": -32603, "message": "reverted", "data": {"message": "m", "data": "0x01"}}, ContractRevert),
        ({"code": -32000, "message": "execution reverted"}, ContractRevert),
        ({"code": -32000, "message": "header not found"}, BlockUnavailable),
        ({"code": -32005, "message": "limit"}, TransientChainError),
        ({"code": -32602, "message": "invalid argument"}, ChainError),
        ({}, ChainError),
    ],
)
def test_rpc_error_of_call_is_typed(error: dict[str, Any], kind: type[SwornError]) -> None:
    """Reverts are told from passing trouble and from our own mistakes, in every node's dialect."""
    assert type(rpc_error(error, method="eth_call")) is kind


def test_gateway_call_never_follows_offchain_lookups(node: str) -> None:
    """A contract cannot make the client fetch a URL."""
    _Node.status = 200
    _Node.body = json.dumps(
        {
            "jsonrpc": "2.0",
            "id": 0,
            "error": {"code": 3, "message": "execution reverted", "data": "0x556f1830" + "00" * 64},
        }
    ).encode()
    with pytest.raises(ContractRevert):
        connect_gateway(node).call(Call(to=None, data=b""))
    assert _Node.requests == 1
