"""How bytes are had from a URI, and how a URI may be shown."""

from __future__ import annotations

from collections.abc import Generator
from typing import Protocol
from urllib.parse import SplitResult, urlsplit

from sworn.errors import ArtifactUnavailable

_SHOWN_CHARACTERS = 200


class Fetcher(Protocol):
    """Streams what a URI names; knows nothing of hashes and size limits."""

    @property
    def schemes(self) -> frozenset[str]:
        """URI schemes in lower case; ``file`` includes plain paths."""
        ...

    def open(self, uri: str) -> Generator[bytes, None, None]:
        """Chunks of the content; closing the generator releases whatever it holds.

        Raises `ArtifactUnavailable` for whatever goes wrong, before the first chunk or after it.
        """
        ...


def split_uri(uri: str) -> SplitResult:
    """The parts of a URI. Raises `ArtifactUnavailable` for one that cannot be read."""
    try:
        return urlsplit(uri)
    except ValueError:
        # The message quotes the host, and what stands before it.
        raise ArtifactUnavailable("the URI cannot be read") from None


def scheme_of(uri: str) -> str:
    """The scheme in lower case; ``file`` for plain paths. Raises `ArtifactUnavailable`."""
    return split_uri(uri).scheme.lower() or "file"


def mask_own_uri(uri: str) -> str:
    """A URI of one's own for messages: of http(s) the host alone, as tokens are parts of paths; else `mask_uri`."""
    try:
        parts = urlsplit(uri)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "<unreadable URI>"
    if parts.scheme.lower() not in ("http", "https"):
        return mask_uri(uri)
    return mask_uri(f"{parts.scheme}://{parts.hostname or ''}{port}") + ("/…" if parts.path.strip("/") else "")


def mask_uri(uri: str) -> str:
    """A URI for messages and logs: without user, password and query, printable and short."""
    try:
        parts = urlsplit(uri)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "<unreadable URI>"
    netloc = f"***@{host}" if "@" in parts.netloc else host
    shown = parts._replace(netloc=netloc, query="***" if parts.query else "", fragment="").geturl()
    shown = "".join(character if character.isprintable() else "?" for character in shown)
    return shown if len(shown) <= _SHOWN_CHARACTERS else shown[: _SHOWN_CHARACTERS - 1] + "…"
