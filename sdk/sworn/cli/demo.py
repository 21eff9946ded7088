"""`sworn demo`: tells the story of `sworn.testing.demo` on the terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

import numpy as np
import typer
from rich import box
from rich.console import Console, Group
from rich.padding import Padding
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from sworn.cli.command import command
from sworn.cli.output import array, ether, label, plain, short, shown
from sworn.cli.session import Session
from sworn.testing.local_chain import ChainKind

if TYPE_CHECKING:
    from sworn.testing.ledger import Entry

_WIDTH: Final = 100
#: Time to read a chapter's heading, on a terminal.
_PAUSE_S: Final = 0.7


def register(app: typer.Typer) -> None:
    """Adds `demo`."""
    command(app, "demo")(_demo)


def _demo(
    session: Session,
    chain: Annotated[ChainKind, typer.Option(help="Where the demo's chain runs.")] = ChainKind.EMBEDDED,
    fast: Annotated[bool, typer.Option("--fast", help="No pauses for reading.")] = False,
) -> None:
    """The whole path on a chain of its own: a contract asks, a watcher answers under oath, a liar is caught.

    Needs no network, no key and no settings; nothing stays behind.
    """
    from sworn.testing.demo import run_demo

    output = session.output
    pause_s = 0.0 if fast or output.as_json or not sys.stdout.isatty() else _PAUSE_S
    console = Console(quiet=True) if output.as_json else output.console
    narrator = ConsoleNarrator(console, pause_s=pause_s)
    narrator.opening(chain)
    with output.busy("running the demo") if output.as_json else narrator.nothing():
        summary = run_demo(chain, narrator)
    output.result(summary, narrator.ending(summary))


class ConsoleNarrator:
    """Implements `sworn.testing.demo_stage.Narrator` in at most a hundred columns."""

    def __init__(self, console: Console, *, pause_s: float, sleep: Callable[[float], None] = time.sleep) -> None:
        self._console = console
        self._pause_s = pause_s
        self._sleep = sleep
        self._width = min(console.width, _WIDTH)

    def opening(self, chain: ChainKind) -> None:
        """The title."""
        text = Text("sworn", style="bold").append("  AI inference under oath, for smart contracts\n", style="default")
        text.append(f"All of this happens now, on a chain of its own ({chain.value}); ", style="dim")
        text.append("every number is read from it.", style="dim")
        self._console.print(Panel(text, box=box.ROUNDED, border_style="cyan", width=self._width, padding=(0, 2)))

    def chapter(self, number: int, title: str, summary: str) -> None:
        self._sleep(self._pause_s)
        heading = Text(f" {number}  {title} ", style="bold cyan")
        self._console.print()
        self._console.print(Rule(heading, align="left", style="cyan", characters="─"), width=self._width)
        self._console.print(Padding(Text(summary, style="italic"), (0, 0, 0, 2)), width=self._width)

    def say(self, text: str) -> None:
        self._console.print(Padding(Text(text), (0, 0, 0, 2)), width=self._width)

    def fact(self, name: str, value: Any) -> None:
        grid = Table.grid(padding=(0, 2))
        grid.add_column(width=22, style="dim", justify="right")
        grid.add_column(width=self._width - 24, overflow="fold")
        grid.add_row(label(name), Text(_value(name, value)))
        self._console.print(grid)

    def transaction(self, entry: Entry, *, role: str) -> None:
        grid = Table.grid(padding=(0, 1))
        for width, justify in ((3, "right"), (11, "left"), (33, "left"), (15, "right"), (10, "right"), (17, "left")):
            grid.add_column(width=width, justify=justify, no_wrap=True)  # type: ignore[arg-type]
        receipt = entry.receipt
        grid.add_row(
            Text("▸", style="green"),
            Text(role, style="bold"),
            Text(entry.call, style="green"),
            Text(f"{receipt.gas_used:,} gas"),
            Text(f"block {receipt.block_number}", style="dim"),
            Text(short(receipt.transaction_hash), style="dim"),
        )
        self._console.print(grid)

    def done(self, seconds: float) -> None:
        self._console.print(Text(f"{seconds:.2f} s", style="dim"), justify="right", width=self._width)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        table = Table(title=title, box=box.SIMPLE_HEAD, title_style="bold", title_justify="left")
        for index, column in enumerate(columns):
            table.add_column(column, justify="left" if index == 0 else "right")
        for row in rows:
            table.add_row(*(_cell(value, is_change=index == len(row) - 1) for index, value in enumerate(row)))
        self._console.print(Padding(table, (0, 0, 0, 4)), width=self._width)

    def ending(self, summary: dict[str, Any]) -> Group:
        """What it came to."""
        text = Text("The story holds. ", style="bold green")
        text.append(
            f"{len(summary['chapters'])} chapters, {summary['transactions']} transactions, {summary['gas']:,} gas, "
            f"{summary['claims_checked']} claims checked, {summary['seconds']:.1f} s."
        )
        return Group(Text(), Panel(text, box=box.ROUNDED, border_style="green", width=self._width, padding=(0, 2)))

    def nothing(self) -> Console:
        """A context in which nothing is shown besides the story."""
        return self._console


def _value(name: str, value: Any) -> str:
    if isinstance(value, np.ndarray):
        return array(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    return shown(name, plain(value))


def _cell(value: Any, *, is_change: bool) -> Text:
    if not isinstance(value, int):
        return Text(str(value))
    if not is_change:
        return Text(ether(value))
    sign = "+" if value > 0 else ""
    return Text(f"{sign}{ether(value)}", style="green" if value > 0 else "red" if value < 0 else "dim")
