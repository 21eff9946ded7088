"""Values that settings of several areas hold."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from eth_utils.address import is_checksum_address, is_hex_address, to_checksum_address
from pydantic import AfterValidator, Field, PlainSerializer, SecretStr

from sworn.masking import MASK as MASK
from sworn.masking import mask_url as mask_url


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


def url_parts(url: str, *schemes: str) -> SplitResult | None:
    """The parts of a URL with one of these schemes; None for one that cannot be connected to."""
    try:
        parts = urlsplit(url)
        # SAFETY: a password with a slash in it ends the host early, and its first part is taken for the port: it would
        # be shown with the host.
        usable = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        # The message quotes what it cannot read.
        return None
    return parts if usable else None


def _checked_url(value: SecretStr) -> SecretStr:
    if url_parts(value.get_secret_value(), "http", "https") is None:
        raise ValueError("expected an http(s) URL; a / in its password is written as %2F")
    return value


def _shown_url(value: SecretStr) -> str:
    return mask_url(value.get_secret_value())


AddressText = Annotated[str, AfterValidator(_checked_address)]
HashText = Annotated[str, AfterValidator(_checked_hash)]
#: Wei amounts are integers of up to 256 bits.
Amount = Annotated[int, Field(ge=0, lt=2**256)]
#: An http(s) URL that may hold credentials; dumped without them.
SecretUrl = Annotated[SecretStr, AfterValidator(_checked_url), PlainSerializer(_shown_url, when_used="json")]
