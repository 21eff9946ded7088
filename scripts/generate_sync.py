#!/usr/bin/env python3
"""Writes the blocking twins of the async modules; ``--check`` only compares and exits 1 on drift.

A twin is its source without ``async`` and ``await``, with the names below exchanged, formatted by ruff.
"""

from __future__ import annotations

import argparse
import io
import re
import subprocess
import sys
import tokenize
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "sdk" / "sworn"

#: Source and twin, relative to the package.
TWINS: tuple[tuple[str, str], ...] = (
    ("chain/web3_gateway_async.py", "chain/web3_gateway.py"),
    ("chain/transactor_async.py", "chain/transactor.py"),
    ("chain/deployment_async.py", "chain/deployment.py"),
    ("client/async_contracts.py", "client/contracts.py"),
    ("client/async_directory.py", "client/directory.py"),
    ("client/async_signing.py", "client/signing.py"),
    ("client/async_market.py", "client/market.py"),
    ("client/async_docket.py", "client/docket.py"),
    ("client/async_reports.py", "client/reports.py"),
    ("client/async_checks.py", "client/checks.py"),
    ("client/async_requests.py", "client/requests.py"),
    ("client/async_play.py", "client/play.py"),
    ("client/async_disputes.py", "client/disputes.py"),
    ("client/async_events.py", "client/events.py"),
    ("client/async_operators.py", "client/operators.py"),
    ("client/async_client.py", "client/client.py"),
)

#: Names that follow no rule; every other ``AsyncX`` becomes ``X`` and ``async_x`` becomes ``x``.
NAMES: dict[str, str] = {
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "__anext__": "__next__",
    "AsyncGenerator": "Generator",
    "StopAsyncIteration": "StopIteration",
    "aclosing": "closing",
    "coro_request": "request_blocking",
    "connect_async": "connect",
    "web3_gateway_async": "web3_gateway",
    "transactor_async": "transactor",
    "deployment_async": "deployment",
}

HEADER = "# Generated from {source} by scripts/generate_sync.py; do not edit.\n"


def exchanged(name: str) -> str:
    """The blocking twin's name for a name."""
    if name in NAMES:
        return NAMES[name]
    if re.match(r"Async[A-Z]", name):
        return name.removeprefix("Async")
    stem = name.lstrip("_")
    return name[: len(name) - len(stem)] + stem.removeprefix("async_")


def twin_of(source: str, *, path: str) -> str:
    """The text of the blocking twin, formatted."""
    pieces: list[str] = []
    lines = source.splitlines(keepends=True)
    row, column = 1, 0
    drop_space = False
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        gap = _between(lines, (row, column), token.start)
        pieces.append(gap.lstrip(" ") if drop_space else gap)
        drop_space = token.type == tokenize.NAME and token.string in ("async", "await")
        pieces.append("" if drop_space else _token(token))
        row, column = token.end
    return HEADER.format(source=path) + _formatted("".join(pieces), path=path)


def _token(token: tokenize.TokenInfo) -> str:
    if token.type == tokenize.NAME:
        return exchanged(token.string)
    if token.type in (tokenize.STRING, tokenize.COMMENT):
        return re.sub(r"\w+", lambda match: exchanged(match.group()), token.string)
    return token.string


def _between(lines: list[str], start: tuple[int, int], end: tuple[int, int]) -> str:
    if start[0] == end[0]:
        return lines[start[0] - 1][start[1] : end[1]] if start[0] <= len(lines) else ""
    middle = "".join(lines[start[0] : end[0] - 1])
    tail = lines[end[0] - 1][: end[1]] if end[0] <= len(lines) else ""
    return lines[start[0] - 1][start[1] :] + middle + tail


def _formatted(text: str, *, path: str) -> str:
    ruff = [sys.executable, "-m", "ruff"]
    name = str(PACKAGE / path)
    # What removing words leaves behind: unsorted imports, loops that only yield, suppressions of async rules.
    tidy = ["check", "--quiet", "--select", "I,UP028,RUF100", "--fix", "--unsafe-fixes"]
    for command in (tidy, ["format", "--quiet"]):
        done = subprocess.run(
            [*ruff, *command, "--stdin-filename", name, "-"], input=text, capture_output=True, text=True, cwd=ROOT
        )
        if done.returncode != 0:
            raise SystemExit(f"ruff failed on the twin of {path}:\n{done.stderr}{done.stdout}")
        text = done.stdout
    return text


def main() -> int:
    """Generates or checks every twin."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only")
    options = parser.parse_args()
    stale: list[str] = []
    for source, twin in TWINS:
        text = twin_of((PACKAGE / source).read_text(encoding="utf-8"), path=source)
        target = PACKAGE / twin
        if target.exists() and target.read_text(encoding="utf-8") == text:
            continue
        stale.append(twin)
        if not options.check:
            target.write_text(text, encoding="utf-8")
    if options.check and stale:
        print(f"stale, run scripts/generate_sync.py: {', '.join(stale)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
