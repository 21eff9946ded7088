"""A key that never leaves AWS KMS (key spec ECC_SECG_P256K1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from eth_keys.datatypes import PublicKey

from sworn.chain.signatures import canonical_signature, signed_transaction, transaction_digest
from sworn.codec.statements import Statement
from sworn.errors import ConfigurationError, SignerError, SignerUnavailable
from sworn.types import Address

_KEY_SPEC: Final = "ECC_SECG_P256K1"
_ALGORITHM: Final = "ECDSA_SHA_256"
#: Errors of KMS that pass by themselves.
_PASSING: Final = frozenset(
    {
        "DependencyTimeoutException",
        "InternalFailure",
        "InternalServerError",
        "KMSInternalException",
        "KeyUnavailableException",
        "LimitExceededException",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceUnavailable",
        "ServiceUnavailableException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)


class KmsSigner:
    """A `Signer` that has digests signed by KMS, and checks every signature here.

    KMS draws its own nonces: the same digest gives other bytes each time.
    """

    def __init__(self, *, client: Any, key_id: str, expected: Address | None = None) -> None:
        """Reads the public key. Raises `SignerError`, `SignerUnavailable`."""
        self._client = client
        self._key_id = key_id
        self._address = _address_of(self._call(lambda: client.get_public_key(KeyId=key_id)))
        if expected is not None and expected != self._address:
            raise SignerError(f"the KMS key is {self._address}'s, not {expected}'s: correct key_id or address")

    @classmethod
    def connect(
        cls,
        key_id: str,
        *,
        region: str | None = None,
        endpoint_url: str | None = None,
        expected: Address | None = None,
        timeout_s: float = 10.0,
    ) -> KmsSigner:
        """With the credentials that the AWS SDK finds by itself. Raises `ConfigurationError` without the extra."""
        try:
            import boto3
            from botocore.config import Config
            from botocore.exceptions import BotoCoreError
        except ImportError as error:
            raise ConfigurationError("AWS KMS needs the kms extra: pip install 'sworn-oracle[kms]'") from error
        config = Config(connect_timeout=3, read_timeout=timeout_s, retries={"mode": "standard", "max_attempts": 3})
        try:
            client = boto3.client("kms", region_name=region, endpoint_url=endpoint_url, config=config)
        except (BotoCoreError, ValueError) as error:
            raise ConfigurationError(f"AWS KMS cannot be used ({type(error).__name__}): name a region") from None
        return cls(client=client, key_id=key_id, expected=expected)

    @property
    def address(self) -> Address:
        return self._address

    def sign_transaction(self, transaction: Mapping[str, Any]) -> bytes:
        return signed_transaction(transaction, self._sign(transaction_digest(transaction)))

    def sign_statement(self, statement: Statement) -> bytes:
        return self._sign(statement.digest)

    def __repr__(self) -> str:
        return f"KmsSigner({self._address})"

    def _sign(self, digest: bytes) -> bytes:
        answer = self._call(
            lambda: self._client.sign(
                KeyId=self._key_id, Message=digest, MessageType="DIGEST", SigningAlgorithm=_ALGORITHM
            )
        )
        r, s = _numbers(answer.get("Signature", b""))
        return canonical_signature(r, s, digest=digest, address=self._address)

    def _call(self, ask: Callable[[], Any]) -> Any:
        from botocore.exceptions import (
            BotoCoreError,
            ClientError,
            HTTPClientError,
            NoCredentialsError,
        )
        from botocore.exceptions import ConnectionError as NoConnection

        try:
            return ask()
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", "unknown"))
            kind = SignerUnavailable if code in _PASSING else SignerError
            # SAFETY: the vendor's message names accounts and roles; the code says enough.
            raise kind(f"AWS KMS refuses: {code}") from None
        except NoCredentialsError:
            raise SignerError("the AWS SDK has found no credentials: give the process a role or a profile") from None
        except (NoConnection, HTTPClientError) as error:
            raise SignerUnavailable(f"AWS KMS did not answer ({type(error).__name__})") from None
        except BotoCoreError as error:
            raise SignerError(f"AWS KMS cannot be used ({type(error).__name__})") from None


def _address_of(answer: Mapping[str, Any]) -> Address:
    """The address of a public key as KMS shows it. Raises `SignerError` for a key of another kind."""
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256K1, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    try:
        key = load_der_public_key(answer["PublicKey"])
    except (KeyError, ValueError, TypeError):
        raise SignerError("AWS KMS returned no public key") from None
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256K1):
        raise SignerError(f"the KMS key is not of the spec {_KEY_SPEC}: make another one, for signing")
    if answer.get("KeyUsage", "SIGN_VERIFY") != "SIGN_VERIFY":
        raise SignerError("the KMS key is not for signing: make one with the usage SIGN_VERIFY")
    point = key.public_numbers()
    return Address(PublicKey(point.x.to_bytes(32, "big") + point.y.to_bytes(32, "big")).to_checksum_address())


def _numbers(signature: bytes) -> tuple[int, int]:
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    try:
        return decode_dss_signature(signature)
    except (ValueError, TypeError):
        raise SignerError("AWS KMS returned no signature") from None
