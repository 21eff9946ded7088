"""Keeps what has been counted from events in a file: the next command need not read the chain from its start."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from sworn.client.track_records import Tally, encoded
from sworn.errors import CodecError, ConfigurationError
from sworn.storage.files import write_whole

_VERSION: Final = 1
#: A file of another size is not ours.
_MAX_BYTES: Final = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """A tally, and the block up to which it goes."""

    number: int
    block_hash: bytes
    tally: Tally


class TallyStore(Protocol):
    """Where progress is kept."""

    def load(self) -> Counted | None:
        """What was saved last; None when there is nothing that can be used."""
        ...

    def save(self, counted: Counted) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FileTallyStore:
    """One file for one deployment, replaced whole. What it says is checked against the chain by its block's hash."""

    path: Path
    #: Names the chain, the contracts and what is counted: a file about others is not used.
    about: str

    def load(self) -> Counted | None:
        """What was saved last; a file that is missing, damaged or about something else counts as nothing."""
        try:
            if self.path.stat().st_size > _MAX_BYTES:
                return None
            content = json.loads(self.path.read_bytes())
            if (content["version"], content["about"]) != (_VERSION, self.about):
                return None
            return _counted(content)
        except (OSError, ValueError, KeyError, TypeError, CodecError):
            return None

    def save(self, counted: Counted) -> None:
        """Replaces the file. Raises `ConfigurationError` where it cannot be written."""
        content = {
            "version": _VERSION,
            "about": self.about,
            "number": counted.number,
            "hash": counted.block_hash.hex(),
            "tally": counted.tally.dump(),
        }
        try:
            write_whole(self.path, encoded(content))
        except OSError as error:
            raise ConfigurationError(f"the index {self.path} cannot be written: {error.strerror}") from error


def _counted(content: Mapping[str, Any]) -> Counted:
    return Counted(
        number=int(content["number"]),
        block_hash=bytes.fromhex(content["hash"]),
        tally=Tally.load(content["tally"]),
    )
