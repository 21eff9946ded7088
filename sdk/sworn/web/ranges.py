"""The one form of HTTP ranges that is served: a single range of bytes (RFC 9110, section 14)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_RANGE: Final = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Bytes ``start`` to ``stop`` of a value."""

    start: int
    stop: int
    #: Whether it was asked for by a range, and is answered as one.
    partial: bool


class RangeUnsatisfiable(Exception):
    """A range lies outside of what there is."""


def slice_of(header: str | None, length: int) -> Slice:
    """What a ``Range`` header asks for; all of it where there is none, or one that is not understood.

    Raises `RangeUnsatisfiable`.
    """
    match = _RANGE.fullmatch(header.strip()) if header is not None else None
    if match is None or not any(match.groups()):
        return Slice(start=0, stop=length, partial=False)
    first, last = match.groups()
    if not first:
        start, stop = max(length - int(last), 0), length
    else:
        start, stop = int(first), min(int(last) + 1, length) if last else length
        if last and int(last) < start:
            return Slice(start=0, stop=length, partial=False)
    if start >= stop:
        raise RangeUnsatisfiable(f"bytes {start} to {stop} of {length}")
    return Slice(start=start, stop=stop, partial=True)
