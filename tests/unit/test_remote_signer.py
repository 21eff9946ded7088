from __future__ import annotations

import json
import ssl
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.certificates import certificates
from tests.support.fake_web3signer import ORDER, FakeWeb3Signer, fake, high_s, serving

from sworn.chain.remote_signer import MAX_ANSWER_BYTES, RemoteSigner, SignerAccess
from sworn.chain.signatures import canonical_signature, signature_in, signed_transaction
from sworn.chain.signer import LocalSigner, SecretSource
from sworn.codec.hashing import Domain, recover_signer
from sworn.codec.statements import Statement, failure_statement, result_statement
from sworn.errors import ConfigurationError, SignerError, SignerUnavailable
from sworn.types import Address, Failure, FailureCode, ModelId, RequestId, Result

KEY, OTHER_KEY = b"\x11" * 32, b"\x12" * 32
LOCAL = LocalSigner.from_key(KEY)
DOMAIN = Domain(chain_id=31337, oracle=LocalSigner.from_key(b"\x13" * 32).address)
RESULT = Result(
    request_id=RequestId(b"\x01" * 32),
    model_id=ModelId(b"\x02" * 32),
    input_root=b"\x03" * 32,
    output_root=b"\x04" * 32,
    trace_root=b"\x05" * 32,
    operator=LocalSigner.from_key(b"\x14" * 32).address,
    expiry=1_900_000_000,
)
STATEMENT = result_statement(RESULT, DOMAIN)
TRANSACTION: dict[str, Any] = {
    "type": 2,
    "chainId": 31337,
    "nonce": 0,
    "to": DOMAIN.oracle,
    "data": b"\x00\x01\x02",
    "value": 7,
    "gas": 90_000,
    "maxFeePerGas": 2 * 10**9,
    "maxPriorityFeePerGas": 0,
}


@pytest.fixture
def server() -> Iterator[FakeWeb3Signer]:
    """An honest signer that holds the key."""
    with serving(fake(KEY)) as running:
        yield running


def remote(server: FakeWeb3Signer, *, address: Address = LOCAL.address, **access: Any) -> RemoteSigner:
    """A signer that asks the server, and does not sleep."""
    asked: dict[str, Any] = {"url": server.url, "timeout_s": 5.0} | access
    return RemoteSigner(access=SignerAccess(**asked), address=address, sleep=lambda pause: None)


def test_remote_signatures_of_statements_are_those_of_the_key(server: FakeWeb3Signer) -> None:
    """The signer is shown whole statements, and what it returns counts in the contracts."""
    failure = failure_statement(
        Failure(request_id=RESULT.request_id, operator=RESULT.operator, code=FailureCode.NOT_FINITE), DOMAIN
    )
    for statement in (STATEMENT, failure):
        signature = remote(server).sign_statement(statement)
        assert signature == LOCAL.sign_statement(statement)
        assert recover_signer(statement.digest, signature) == LOCAL.address
    method, params = server.asked[0]
    assert method == "eth_signTypedData"
    assert json.loads(params[1])["message"]["outputRoot"] == "0x" + RESULT.output_root.hex()


def test_remote_transactions_equal_those_signed_at_home(server: FakeWeb3Signer) -> None:
    """A transaction keeps every field, zeros and creations included, and its sender."""
    for change in ({}, {"nonce": 300, "data": b""}, {"value": 0, "maxPriorityFeePerGas": 5}, {"to": ""}):
        fields = TRANSACTION | change
        assert remote(server).sign_transaction(fields) == LOCAL.sign_transaction(fields)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("to", "0x" + "66" * 20),
        ("value", "0xde0b6b3a7640000"),
        ("data", "0x00"),
        ("nonce", "0x1"),
        ("gas", "0xffffff"),
        ("maxFeePerGas", "0xfffffffffff"),
        ("maxPriorityFeePerGas", "0x1"),
        ("chainId", "0x1"),
        ("accessList", [{"address": "0x" + "66" * 20, "storageKeys": []}]),
    ],
)
def test_remote_transaction_with_a_changed_field_is_refused_by_name(
    server: FakeWeb3Signer, name: str, value: Any
) -> None:
    """A signer that signs another transaction than asked for would spend what nobody meant to spend."""
    server.tamper = lambda asked: asked | {name: value}
    with pytest.raises(SignerError) as caught:
        remote(server).sign_transaction(TRANSACTION)
    assert name in str(caught.value)
    assert not isinstance(caught.value, SignerUnavailable)


def test_remote_transaction_in_the_high_form_is_made_low(server: FakeWeb3Signer) -> None:
    """The chain refuses a transaction with a high s; the low form is as much the key's."""
    raw = LOCAL.sign_transaction(TRANSACTION)
    r, s = signature_in(raw, TRANSACTION)
    server.twist = lambda result: "0x" + _with_s(raw, ORDER - s).hex()
    assert remote(server).sign_transaction(TRANSACTION) == raw
    assert (r, s) == signature_in(raw, TRANSACTION)


def _with_s(raw: bytes, s: int) -> bytes:
    r, _ = signature_in(raw, TRANSACTION)
    return signed_transaction(TRANSACTION, r.to_bytes(32, "big") + s.to_bytes(32, "big") + b"\x1b")


def test_remote_statement_signature_in_the_high_form_is_made_low(server: FakeWeb3Signer) -> None:
    """The contracts refuse a high s."""
    server.twist = high_s
    assert remote(server).sign_statement(STATEMENT) == LOCAL.sign_statement(STATEMENT)


def test_remote_signer_with_another_key_is_refused() -> None:
    """Results signed by a stranger's key would revert, and transactions would spend a stranger's nonces."""
    with serving(fake(OTHER_KEY)) as server:
        signer = remote(server)
        for sign in (
            lambda: signer.check(),
            lambda: signer.sign_statement(STATEMENT),
            lambda: signer.sign_transaction(TRANSACTION),
        ):
            with pytest.raises(SignerError):
                sign()


def test_remote_signature_over_another_statement_is_refused(server: FakeWeb3Signer) -> None:
    """A signer that signs another result than it was shown could cost the stake: its signature is not used."""
    other = result_statement(replace(RESULT, output_root=b"\x09" * 32), DOMAIN)
    server.twist = lambda result: "0x" + LOCAL.sign_statement(other).hex()
    with pytest.raises(SignerError):
        remote(server).sign_statement(STATEMENT)


def test_statement_whose_fields_are_another_digest_is_refused(server: FakeWeb3Signer) -> None:
    """The digest is computed here; fields that lead elsewhere give a signature that is not used."""
    other = result_statement(replace(RESULT, expiry=1), DOMAIN)
    with pytest.raises(SignerError):
        remote(server).sign_statement(Statement(digest=STATEMENT.digest, typed_data=other.typed_data))


@pytest.mark.parametrize("result", ["0x", "0x02", "nothing", "0x02" + "c0", "0x" + "ff" * 300, "0x" + "00" * 65])
def test_remote_answers_that_are_no_signature_are_typed_errors(server: FakeWeb3Signer, result: str) -> None:
    """Whatever a broken signer returns, it ends as the error that the service handles."""
    server.twist = lambda right: result
    with pytest.raises(SignerError):
        remote(server).sign_statement(STATEMENT)
    with pytest.raises(SignerError):
        remote(server).sign_transaction(TRANSACTION)


@pytest.mark.parametrize(
    "failure",
    [
        (500, b"", 0.0),
        (503, b"busy", 0.0),
        (429, b"{}", 0.0),
        (200, b"not json", 0.0),
        (200, b"{}", 0.0),
        (200, b'{"error": {"code": -32603}}', 0.0),
    ],
)
def test_remote_trouble_that_may_pass_is_tried_again(server: FakeWeb3Signer, failure: tuple[int, bytes, float]) -> None:
    """A signer that restarts does not stop the service."""
    server.failures = [failure]
    assert remote(server).sign_statement(STATEMENT) == LOCAL.sign_statement(STATEMENT)
    server.failures = [failure] * 3
    with pytest.raises(SignerUnavailable):
        remote(server).sign_statement(STATEMENT)


@pytest.mark.parametrize(
    "failure", [(401, b"", 0.0), (403, b"{}", 0.0), (404, b"", 0.0), (200, b'{"error": {"code": -32000}}', 0.0)]
)
def test_remote_refusal_is_final_and_asked_once(server: FakeWeb3Signer, failure: tuple[int, bytes, float]) -> None:
    """What only a person can mend is said at once, and does not pass for an outage."""
    server.failures = [failure] * 3
    with pytest.raises(SignerError) as caught:
        remote(server).sign_statement(STATEMENT)
    assert not isinstance(caught.value, SignerUnavailable)
    assert len(server.asked) == 1


def test_remote_redirect_is_not_followed(server: FakeWeb3Signer) -> None:
    """A redirect would hand statements and tokens to somebody else."""
    server.failures = [(307, b"", 0.0)]
    with pytest.raises(SignerError):
        remote(server).sign_statement(STATEMENT)
    assert len(server.asked) == 1


def test_remote_signer_that_hangs_costs_no_more_than_its_time(server: FakeWeb3Signer) -> None:
    """One slow signer must not hold up defences that have clocks."""
    server.failures = [(200, b"", 1.0)] * 9
    with pytest.raises(SignerUnavailable):
        remote(server, timeout_s=0.2).sign_statement(STATEMENT)


def test_remote_signer_that_sends_byte_by_byte_costs_no_more_than_its_time(server: FakeWeb3Signer) -> None:
    """A timeout for each read would never end against a signer that drips."""
    server.drip = 1
    began = time.monotonic()
    with pytest.raises(SignerUnavailable):
        remote(server, timeout_s=0.3).sign_statement(STATEMENT)
    assert time.monotonic() - began < 2


def test_remote_answer_without_end_is_cut_off(server: FakeWeb3Signer) -> None:
    """A signer gone mad does not fill the memory."""
    server.failures = [(200, b"x" * (MAX_ANSWER_BYTES + 1), 0.0)]
    with pytest.raises(SignerError):
        remote(server).sign_statement(STATEMENT)


def test_remote_signer_that_is_away_hides_its_url(tmp_path: Path) -> None:
    """Credentials in a URL and tokens appear in no error and no repr."""
    token = tmp_path / "token"
    token.write_text("tok-SECRET-1\n")
    for access in (
        SignerAccess(url="http://user:pw-SECRET-2@127.0.0.1:1/path-SECRET-3", attempts=1),
        SignerAccess(url="http://127.0.0.1:1/path-SECRET-3", token_file=token, attempts=1),
    ):
        signer = RemoteSigner(access=access, address=LOCAL.address)
        with pytest.raises(SignerUnavailable) as caught:
            signer.check()
        shown = f"{caught.value!r} {caught.value.__cause__!r} {signer!r} {access!r}"
        assert caught.value.__suppress_context__
        assert "SECRET" not in shown


def test_remote_token_is_sent_and_never_in_the_clear(server: FakeWeb3Signer, tmp_path: Path) -> None:
    """A token reaches the signer, but not over plain http to another machine."""
    token = tmp_path / "token"
    token.write_text("tok-1\n")
    remote(server, token_file=token).check()
    assert server.headers[-1]["Authorization"] == "Bearer tok-1"
    for url in ("http://signer.example:9000", "https://user:pw@signer.example"):
        with pytest.raises(ConfigurationError):
            RemoteSigner(access=SignerAccess(url=url, token_file=token), address=LOCAL.address)


@pytest.mark.parametrize(
    "change", [{"url": "ftp://x"}, {"ca_file": Path("/nowhere")}, {"token_file": Path("/dev/null")}]
)
def test_remote_access_that_cannot_work_is_a_configuration_error(change: dict[str, Any]) -> None:
    """A mistyped path is said at the start, not at the first signature."""
    asked: dict[str, Any] = {"url": "https://signer.example"} | change
    with pytest.raises(ConfigurationError):
        RemoteSigner(access=SignerAccess(**asked), address=LOCAL.address)


def test_remote_signer_over_mutual_tls_needs_both_certificates(tmp_path: Path) -> None:
    """Only who shows the right certificate is served, and only a server with the right one is believed."""
    paths = certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(paths.server, paths.server_key)
    context.load_verify_locations(paths.authority)
    context.verify_mode = ssl.CERT_REQUIRED
    with serving(fake(KEY), tls=context) as server:
        shown: dict[str, Any] = {"certificate_file": paths.client, "certificate_key_file": paths.client_key}
        remote(server, ca_file=paths.authority, **shown).check()
        partly: list[dict[str, Any]] = [{"ca_file": paths.authority}, shown]
        for access in partly:
            with pytest.raises(SignerUnavailable):
                remote(server, attempts=1, **access).check()


def test_remote_signer_makes_no_secrets() -> None:
    """Salts follow from deterministic signatures; a signer that may draw nonces must not be asked for them."""
    assert isinstance(LOCAL, SecretSource)
    assert not isinstance(RemoteSigner(access=SignerAccess(url="http://x"), address=LOCAL.address), SecretSource)


@settings(max_examples=200, deadline=None)
@given(raw=st.binary(max_size=200), r=st.integers(0, 2**256), s=st.integers(0, 2**256))
def test_signatures_from_anywhere_never_pass_unless_they_are_the_keys(raw: bytes, r: int, s: int) -> None:
    """Random bytes are no transaction and random numbers no signature, always as the same typed error."""
    for data in (raw, b"\x02" + raw):
        with pytest.raises(SignerError):
            signature_in(data, TRANSACTION)
    with pytest.raises(SignerError):
        canonical_signature(r, s, digest=STATEMENT.digest, address=LOCAL.address)


def test_transactions_of_another_type_are_not_signed_remotely(server: FakeWeb3Signer) -> None:
    """Only the type whose fields are all compared is asked for."""
    with pytest.raises(SignerError):
        remote(server).sign_transaction({**TRANSACTION, "type": 0})
    with pytest.raises(SignerError):
        remote(server).sign_transaction({"type": 2, "nonce": "many"})
    assert not server.asked
    assert Account.from_key(KEY).address == LOCAL.address
