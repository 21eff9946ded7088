"""What the scripts that write pages of the documentation share: tables, and writing or comparing."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; a column whose name ends with a colon is aligned to the right."""
    names = " | ".join(column.removesuffix(":") for column in columns)
    rules = "|".join("---:" if column.endswith(":") else "---" for column in columns)
    lines = [" | ".join(cell.replace("|", "\\|") for cell in row) for row in rows]
    return "\n".join([f"| {names} |", f"|{rules}|", *(f"| {line} |" for line in lines)]) + "\n"


def run(
    script: str, *, page: str, description: str, text_of: Callable[[], str], basis: re.Pattern[str] | None = None
) -> int:
    """The command line of a script that writes one page; the exit status is 1 where ``--check`` finds a difference.

    ``script`` and ``page`` are paths from the repository root; ``text_of`` makes the page's text. ``basis`` finds what
    a page rests on and this repository does not decide: a page that rests on something else is not compared.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the committed page instead of writing it")
    arguments = parser.parse_args()
    text, target = text_of(), ROOT / page
    committed = target.read_text(encoding="utf-8") if target.is_file() else ""
    if committed == text:
        return 0
    if arguments.check:
        if basis is not None and (found := basis.search(committed)) and found.group() not in text:
            print(f"not compared: {page} is {found.group()}, which is not installed", file=sys.stderr)
            return 0
        print(f"stale, run {script}: {page}", file=sys.stderr)
        return 1
    target.write_text(text, encoding="utf-8")
    print(f"{page}: written")
    return 0
