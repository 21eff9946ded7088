#!/usr/bin/env python3
"""Writes what operators look things up in: settings, metrics, the dashboard; ``--check`` only compares."""

from __future__ import annotations

import argparse
import ast
import inspect
import json
import sys
import types
import typing
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

import generated_pages
import node_dashboard
from sworn.watcher.challenger.settings import ChallengerSettings
from sworn.watcher.figures import COUNTERS, GAUGES, HISTOGRAMS
from sworn.watcher.settings import WatcherSettings

SCRIPT = "scripts/generate_operating.py"
_SETTINGS_HEAD = f"""# Settings

Every key of the two daemons. Written by `{SCRIPT}` from the settings themselves.

Files are TOML; later files win over earlier ones, the environment over files, and the command line over all. In the
environment a key is `SWORN_`, its table, two underscores, its name: `SWORN_CHAIN__POLL_INTERVAL_S=5`. Unknown keys are
errors; a variable that begins with `SWORN_` and names none is ignored, with the warning `variable_ignored` in the log.
`sworn config validate FILE` checks, `sworn config dump FILE` shows what counts in the end, secrets masked.

Relative paths in a file count from its folder, that of an SQLite database in `database_url` too; those in variables and
flags from the folder in which the command is started.

`SWORN_RPC`, `SWORN_DEPLOYMENT`, `SWORN_KEYSTORE` and `SWORN_PASSWORD_FILE` are no settings, but stand for flags that
are not given. They count only for what files and the variables above leave open, for daemons and for every other
command with `--config`.
"""
_METRICS_HEAD = f"""# Metrics

Everything that `/metrics` shows. Written by `{SCRIPT}` from the exporter's own tables. Besides these
there are the usual `process_*` of memory, CPU, files and start. Amounts are in wei, times in seconds. What to do with
them says [monitoring](monitoring.md).
"""
_STATE_HEAD = """## State

Read by threads of their own; what cannot be read is left out. *From* says where: what comes from the database is said
alike by every replica on it, and by the next process after a crash; what comes from the chain, alike by whoever works
for the operator. Take the maximum of these over replicas, never the sum.
"""


def main() -> int:
    """Writes every page, or compares them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with the committed files instead of writing them")
    check = parser.parse_args().check
    stale = []
    for page, text in pages().items():
        target = generated_pages.ROOT / page
        if target.is_file() and target.read_text(encoding="utf-8") == text:
            continue
        stale.append(page)
        if not check:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
            print(f"{page}: written")
    if check and stale:
        print(f"stale, run {SCRIPT}: {', '.join(stale)}", file=sys.stderr)
    return int(check and bool(stale))


def pages() -> Mapping[str, str]:
    """Every page by its path from the repository root."""
    return {
        "docs/operating/settings.md": settings_page(),
        "docs/operating/metrics.md": metrics_page(),
        "scripts/node/dashboard.json": json.dumps(node_dashboard.dashboard(), indent=1) + "\n",
    }


def settings_page() -> str:
    """The reference of settings."""
    parts, known = [_SETTINGS_HEAD], set[type]()
    for command, kind in (("sworn watch", WatcherSettings), ("sworn challenge", ChallengerSettings)):
        parts.append(f"\n## `{command}`\n")
        parts += _tables(kind, "", known)
    return "\n".join(parts)


def _tables(kind: type[BaseModel], name: str, known: set[type]) -> Iterator[str]:
    """A table of settings and those below it; ``known`` are those that the page has already."""
    said: dict[str, str] = {}
    for each in reversed(kind.__mro__):
        # Vendors' classes have no keys of ours.
        said |= _comments(each) if each.__module__.startswith("sworn.") else {}
    rows, nested = [], []
    for key, field in kind.model_fields.items():
        path = f"{name}.{key}".strip(".")
        nested += [(f"[{path}]" if _is_list(field.annotation) else path, each) for each in _models(field.annotation)]
        rows.append((f"`{key}`", _type(field.annotation), _default(field), said.get(key, "")))
    if name:
        first = (inspect.getdoc(kind) or "").partition("\n")[0]
        yield f"\n### `[{name}]`\n\n{first}\n"
    yield generated_pages.table(("key", "type", "default", "what"), rows)
    for path, each in nested:
        if each in known:
            yield f"\n### `[{path}]`\n\nThe same as above: {(inspect.getdoc(each) or '').partition(chr(10))[0]}\n"
        else:
            known.add(each)
            yield from _tables(each, path, known)


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [each for part in typing.get_args(annotation) for each in _models(part)]


def _is_list(annotation: Any) -> bool:
    return typing.get_origin(annotation) is tuple or any(map(_is_list, typing.get_args(annotation)))


def _type(annotation: Any) -> str:
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _type(inner[0])
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(_type(each) for each in inner if each is not type(None)))
    if origin is tuple:
        return f"list of {_type(inner[0])}"
    if origin is dict:
        return "table"
    if origin is typing.Literal:
        return ", ".join(f"`{each}`" for each in inner)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "table"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return ", ".join(f"`{each.value}`" for each in annotation)
    names = {"int": "integer", "float": "number", "str": "text", "bool": "true or false", "Path": "path"}
    name = getattr(annotation, "__name__", str(annotation))
    return names.get(name, "text" if name == "SecretStr" else name)


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "required" if field.default_factory is None else ""
    default = field.default
    if default is None or isinstance(default, BaseModel) or default in ((), {}):
        return ""
    if isinstance(default, Enum):
        return f"`{default.value}`"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _comments(kind: type) -> dict[str, str]:
    """What the lines that begin with ``#:`` above a field say of it."""
    file = Path(inspect.getsourcefile(kind) or "")
    lines = file.read_text(encoding="utf-8").splitlines()
    (body,) = (
        node.body
        for node in ast.walk(ast.parse("\n".join(lines)))
        if isinstance(node, ast.ClassDef) and node.name == kind.__name__
    )
    said = {}
    for node in body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            above = node.lineno - 2
            words: list[str] = []
            while lines[above].strip().startswith("#:"):
                words.insert(0, lines[above].strip().removeprefix("#:").strip())
                above -= 1
            said[node.target.id] = " ".join(words).replace("None = ", "without it: ")
    return said


def metrics_page() -> str:
    """The reference of metrics."""
    gauges = [
        (f"`{name}`", _labels(gauge.labels), gauge.origin.value, gauge.meaning)
        for name, gauge in sorted(GAUGES.items())
    ]
    counters = [(f"`{name}_total`", _labels(count.labels), count.meaning) for name, count in sorted(COUNTERS.items())]
    spreads = [(f"`{name}`", _labels(spread.labels), spread.meaning) for name, spread in sorted(HISTOGRAMS.items())]
    columns = ("name", "labels", "what")
    return "\n".join(
        (
            _METRICS_HEAD,
            _STATE_HEAD,
            generated_pages.table(("name", "labels", "from", "what"), gauges),
            "## Counters\n\nThey begin at zero with every start of the process.\n",
            generated_pages.table(columns, counters),
            "## Histograms\n\nEach with `_bucket`, `_sum` and `_count`.\n",
            generated_pages.table(columns, spreads),
        )
    )


def _labels(labels: tuple[str, ...]) -> str:
    return ", ".join(f"`{label}`" for label in labels)


if __name__ == "__main__":
    sys.exit(main())
