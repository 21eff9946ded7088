from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.unit.test_remote_signer import STATEMENT, TRANSACTION

from sworn.chain.kms_signer import KmsSigner
from sworn.chain.signatures import signature_in, transaction_digest
from sworn.chain.signer import LocalSigner, SecretSource
from sworn.codec.hashing import recover_signer
from sworn.errors import SignerError, SignerUnavailable

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from moto import mock_aws
    from moto.kms import utils as moto_kms


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A KMS client of the real SDK, against a mock that signs digests as KMS does."""
    import boto3

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    with mock_aws():
        yield boto3.client("kms", region_name="eu-central-1")


def signs_digests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the mock take messages as digests: it always hashes them otherwise, whatever it is told."""

    def sign(self: Any, message: bytes, signing_algorithm: str) -> bytes:
        return bytes(self.private_key.sign(message, ec.ECDSA(Prehashed(hashes.SHA256()))))

    monkeypatch.setattr(moto_kms.ECDSAPrivateKey, "sign", sign)


def key_of(client: Any, spec: str = "ECC_SECG_P256K1") -> str:
    """A new key's id."""
    return str(client.create_key(KeyUsage="SIGN_VERIFY", KeySpec=spec)["KeyMetadata"]["KeyId"])


def test_kms_signatures_are_low_and_recover_to_the_key(aws: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """KMS returns either form of s and no recovery id; what comes out counts in the contracts, every time."""
    signs_digests(monkeypatch)
    signer = KmsSigner.connect(key_of(aws), region="eu-central-1")
    signatures = [signer.sign_statement(STATEMENT) for _ in range(8)]
    assert len(set(signatures)) > 1
    assert {recover_signer(STATEMENT.digest, signature) for signature in signatures} == {signer.address}
    assert not isinstance(signer, SecretSource)


def test_kms_transactions_state_what_was_asked_for(aws: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction signed in KMS is decoded as asked for, from the key's address."""
    signs_digests(monkeypatch)
    signer = KmsSigner.connect(key_of(aws), region="eu-central-1")
    raw = signer.sign_transaction(TRANSACTION)
    r, s = signature_in(raw, TRANSACTION)
    candidates = {
        recover_signer(transaction_digest(TRANSACTION), r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([v]))
        for v in (27, 28)
    }
    assert signer.address in candidates


def test_kms_that_signs_something_else_is_not_believed(aws: Any) -> None:
    """The mock hashes the digest once more before it signs; such a signature would revert on chain."""
    signer = KmsSigner.connect(key_of(aws), region="eu-central-1")
    with pytest.raises(SignerError):
        signer.sign_statement(STATEMENT)


def test_kms_keys_that_cannot_sign_for_the_chain_are_refused(aws: Any) -> None:
    """A key on another curve, another address than expected, or no key at all is said at the start."""
    stranger = LocalSigner.from_key(b"\x21" * 32).address
    attempts: list[Callable[[], KmsSigner]] = [
        lambda: KmsSigner.connect(key_of(aws, "ECC_NIST_P256"), region="eu-central-1"),
        lambda: KmsSigner.connect(key_of(aws, "RSA_2048"), region="eu-central-1"),
        lambda: KmsSigner.connect(key_of(aws), region="eu-central-1", expected=stranger),
        lambda: KmsSigner.connect("00000000-0000-0000-0000-000000000000", region="eu-central-1"),
    ]
    for attempt in attempts:
        with pytest.raises(SignerError):
            attempt()


class FailingClient:
    """Raises what it is given, once it has shown its key."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        key = ec.generate_private_key(ec.SECP256K1()).public_key()
        self.public_key = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def get_public_key(self, **asked: Any) -> dict[str, Any]:
        return {"PublicKey": self.public_key, "KeyUsage": "SIGN_VERIFY"}

    def sign(self, **asked: Any) -> dict[str, Any]:
        raise self.error


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (ClientError({"Error": {"Code": "ThrottlingException", "Message": "SECRET"}}, "Sign"), True),
        (ClientError({"Error": {"Code": "KMSInternalException", "Message": "SECRET"}}, "Sign"), True),
        (ClientError({"Error": {"Code": "AccessDeniedException", "Message": "SECRET"}}, "Sign"), False),
        (ClientError({"Error": {"Code": "DisabledException", "Message": "SECRET"}}, "Sign"), False),
        (EndpointConnectionError(endpoint_url="https://SECRET"), True),
        (NoCredentialsError(), False),
    ],
)
def test_kms_errors_say_whether_they_pass_and_nothing_else(error: Exception, passes: bool) -> None:
    """Throttling is waited out, a missing right needs a person; account numbers stay out of the log."""
    signer = KmsSigner(client=FailingClient(error), key_id="key")
    with pytest.raises(SignerError) as caught:
        signer.sign_statement(STATEMENT)
    assert isinstance(caught.value, SignerUnavailable) == passes
    assert "SECRET" not in repr(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("signature", [b"", b"\x30\x00", b"\x00" * 72], ids=["empty", "short", "zeros"])
def test_kms_answers_that_are_no_signature_are_typed_errors(signature: bytes) -> None:
    """Whatever comes back, it ends as the error that the service handles."""
    client = FailingClient(NoCredentialsError())
    client.sign = lambda **asked: {"Signature": signature}  # type: ignore[method-assign]
    with pytest.raises(SignerError):
        KmsSigner(client=client, key_id="key").sign_statement(STATEMENT)
