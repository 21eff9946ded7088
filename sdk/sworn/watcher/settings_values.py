"""Values that settings of several areas hold."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from eth_utils.address import is_checksum_address, is_hex_address, to_checksum_address
from pydantic import AfterValidator, Field, PlainSerializer, SecretStr

MASK = "***"


def mask_url(url: str) -> str:
    """Scheme, host and port of a URL; path, query and credentials, where keys hide, are masked."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        # Strangers choose URLs that end up in logs: one that is malformed must not stop the logging.
        return MASK
    hidden = parts.path.strip("/") or parts.query or parts.username or parts.password
    return f"{parts.scheme}://{parts.hostname or MASK}{port}" + (f"/{MASK}" if hidden else "")


def _checked_address(value: str) -> str:
    if not is_hex_address(value):
        raise ValueError("not an address")
    if value not in (value.lower(), value.upper()) and not is_checksum_address(value):
        raise ValueError("the address has a wrong checksum: one of its digits is mistyped")
    return to_checksum_address(value)


def _checked_hash(value: str) -> str:
    digits = value.removeprefix("0x")
    if len(digits) != 64 or not set(digits.lower()) <= set("0123456789abcdef"):
        raise ValueError("expected 32 bytes as 64 hex digits")
    return "0x" + digits.lower()


def _checked_url(value: SecretStr) -> SecretStr:
    try:
        parts = urlsplit(value.get_secret_value())
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("expected an http(s) URL")
    return value


def _shown_url(value: SecretStr) -> str:
    return mask_url(value.get_secret_value())


AddressText = Annotated[str, AfterValidator(_checked_address)]
HashText = Annotated[str, AfterValidator(_checked_hash)]
#: Wei amounts are integers of up to 256 bits.
Amount = Annotated[int, Field(ge=0, lt=2**256)]
#: An http(s) URL that may hold credentials; dumped without them.
SecretUrl = Annotated[SecretStr, AfterValidator(_checked_url), PlainSerializer(_shown_url, when_used="json")]
