"""What the command says: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console, RenderableType
from rich.status import Status
from rich.table import Table
from rich.text import Text

#: Elements of one array that are shown to a person.
MAX_SHOWN_ELEMENTS = 64
#: Where stdout is no terminal, lines are as long as they need to be.
PIPE_WIDTH = 400
#: Endings of names whose values are unix seconds.
_TIME_NAMES = ("_at", "deadline", "not_after", "now")
#: The largest uint40, and what lies beyond the calendar.
_ENDLESS = 2**40 - 1
_ETHER = 10**18
_GWEI = 10**9


class Output:
    """Two consoles. With ``as_json``, stdout gets exactly one JSON document."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        width = None if sys.stdout.isatty() else PIPE_WIDTH
        self.console = Console(highlight=False, width=width)
        self.progress = Console(stderr=True, highlight=False)
        self._live: Status | None = None

    def result(self, document: Mapping[str, Any] | Sequence[Any], human: RenderableType | None = None) -> None:
        """The command's result: the document for machines, ``human`` (by default the same, as a table) for people."""
        if self.as_json:
            sys.stdout.write(json.dumps(plain(document), indent=2) + "\n")
            sys.stdout.flush()
        elif isinstance(human, str):
            self.console.print(human, markup=False, soft_wrap=True)
        else:
            self.console.print(facts(document) if human is None else human)

    def note(self, text: str) -> None:
        """One line about what is going on."""
        self.progress.print(text, markup=False, soft_wrap=True)

    def error(self, *, kind: str, message: str, exit_code: int, hint: str = "") -> None:
        """Why the command ends without its result."""
        if self.as_json:
            error = {"type": kind, "message": message, "hint": hint, "exit_code": exit_code}
            sys.stdout.write(json.dumps({"error": error}, indent=2) + "\n")
            sys.stdout.flush()
            return
        text = Text("error: ", style="bold red").append(message, style="default")
        self.progress.print(text, soft_wrap=True)
        if hint:
            self.progress.print(Text(hint, style="dim"), soft_wrap=True)

    @contextmanager
    def busy(self, text: str) -> Iterator[None]:
        """Shows that something takes time; nothing where stderr is no terminal, or while it shows something already."""
        if not self.progress.is_terminal or self._live is not None:
            yield
            return
        self._live = self.progress.status(Text(text))
        try:
            with self._live:
                yield
        finally:
            self._live = None

    @contextmanager
    def calm(self) -> Iterator[None]:
        """A line on which a person can type."""
        if self._live is None:
            yield
            return
        self._live.stop()
        try:
            yield
        finally:
            self._live.start()


def plain(value: Any) -> Any:
    """The value as JSON knows it: bytes as 0x-hex, enum members by name, arrays as lists, amounts as integers."""
    if isinstance(value, bytes | bytearray):
        return "0x" + value.hex()
    if isinstance(value, Enum):
        return value.name.lower()
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value) if field.repr}
    if isinstance(value, Mapping):
        return {str(plain(key)): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)


def facts(document: Mapping[str, Any] | Sequence[Any]) -> Table:
    """Names and values, one per line."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    items = document.items() if isinstance(document, Mapping) else enumerate(document)
    for name, value in items:
        if value is not None and value != []:
            table.add_row(Text(label(str(name))), Text(shown(str(name), plain(value))))
    return table


def label(name: str) -> str:
    """The name of a fact as people read it: the unit stands with the value."""
    return name.removesuffix("_wei").removesuffix("_s").replace("_", " ")


def shown(name: str, value: Any) -> str:
    """A plain value as people read it; ``name`` tells amounts from numbers."""
    if name.endswith("_wei") and isinstance(value, int):
        return ether(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and name.endswith(_TIME_NAMES):
        return moment(value)
    if isinstance(value, int) and name.endswith("_s"):
        return f"{value} s"
    if isinstance(value, dict):
        return "\n".join(f"{label(key)}: {shown(key, item)}" for key, item in value.items()) or "none"
    if isinstance(value, list):
        return "\n".join(shown(name, item) for item in value) or "none"
    # SAFETY: anyone can put any text on chain, and a terminal obeys some of it.
    return "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in str(value))


def ether(wei: int) -> str:
    """An amount in the unit in which it is easiest to read, exactly."""
    size = abs(wei)
    if size >= _ETHER // 10_000 or wei == 0:
        return f"{_decimal(wei, 18)} ETH"
    return f"{_decimal(wei, 9)} gwei" if size >= _GWEI // 1000 else f"{wei} wei"


def moment(timestamp: int) -> str:
    """Unix seconds as a date; those that the contracts use for "without end" in words."""
    if timestamp >= _ENDLESS:
        return "without end"
    return datetime.fromtimestamp(timestamp, tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def array(value: Any) -> str:
    """An array as text: values, type and shape; long ones shortened."""
    flat = np.asarray(value)
    # Digits as the type has them: float32 0.1 is 0.1, not 0.10000000149.
    text = np.array2string(
        flat, threshold=MAX_SHOWN_ELEMENTS, separator=", ", max_line_width=90, formatter={"float_kind": _number}
    )
    return f"{text}  {flat.dtype}{list(flat.shape)}"


def short(value: bytes | str, digits: int = 8) -> str:
    """The beginning of a hash or an address."""
    text = "0x" + value.hex() if isinstance(value, bytes) else value
    return text if len(text) <= 2 + 2 * digits else f"{text[: 2 + digits]}…{text[-4:]}"


def _number(value: Any) -> str:
    return str(np.format_float_positional(value, trim="-")) if 1e-5 < abs(value) < 1e9 or value == 0 else str(value)


def _decimal(number: int, places: int) -> str:
    whole, rest = divmod(abs(number), 10**places)
    digits = f"{rest:0{places}d}".rstrip("0")
    return f"{'-' if number < 0 else ''}{whole:,}{'.' + digits if digits else ''}"
