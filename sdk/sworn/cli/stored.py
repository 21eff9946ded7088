"""What `sworn jobs` and `sworn claims` have in common: ids that name a row, and a table of rows with their reasons."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from rich.table import Table
from rich.text import Text

from sworn.cli.output import moment
from sworn.errors import ConfigurationError

#: Rows that are listed unless another number is given.
LIMIT: Final = 50
#: Id, status, deadline in Unix seconds, and why it is where it is.
Row = tuple[bytes, str, int, str]


def identity_of(text: str, *, subject: str) -> bytes:
    """The 32 bytes of a request's or a result's id. Raises `ConfigurationError`."""
    try:
        identity = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        identity = b""
    if len(identity) != 32:
        raise ConfigurationError(f"{text} is no {subject} id: expected 64 hex digits")
    return identity


def table_of(counts: Mapping[str, int], rows: Iterable[Row], *, subject: str, nothing: str) -> Table:
    """Rows for people, under the number of all in each status."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.title = ", ".join(f"{count} {status}" for status, count in counts.items()) or nothing
    table.title_justify = "left"
    for column in (subject, "status", "deadline", "why"):
        table.add_column(column, overflow="fold")
    for identity, status, deadline, reason in rows:
        table.add_row(Text("0x" + identity.hex(), no_wrap=True), status, moment(deadline), Text(reason))
    return table
