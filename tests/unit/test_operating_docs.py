"""What operators read and copy: every command, metric, alert and setting in it is there."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

import generate_operating
from solidity import ROOT
from sworn.cli.app import build
from sworn.watcher.figures import COUNTERS, GAUGES, HISTOGRAMS
from sworn.watcher.status import NodeStatus, Role
from sworn.web.metrics import PrometheusTelemetry

DOCS = sorted((ROOT / "docs" / "operating").glob("*.md"))
NODE = ROOT / "scripts" / "node"
SOURCES = sorted((ROOT / "sdk" / "sworn").rglob("*.py"))
RUNBOOKS = ROOT / "docs" / "operating" / "runbooks.md"
#: Asks for a key only where it is not told whom it is about.
ABOUT_SOMEBODY = "sworn operator status OPERATOR"
#: Of Prometheus itself and of its client for Python.
FOREIGN = re.compile(r"\b(?:up|process_\w+|label_values)\b")


@cache
def command_tree() -> Any:
    """The command line as it is declared."""
    return get_command(build())


def commands(text: str) -> Iterator[str]:
    """Every ``sworn …`` in code: fenced blocks of shell, and backticks."""
    for block in re.findall(r"^```sh\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        joined = re.sub(r"\$\([^()]*\)", "X", block.replace("\\\n", " "))
        yield from re.findall(r"(?:^|[;(|] ?|do )(sworn [^\n;|>&)]+)", joined, re.MULTILINE)
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    yield from re.findall(r"`(sworn [a-z][^`\n]*)`", prose)


def resolved(line: str) -> tuple[Any, list[str]]:
    """The command, or the group, that a line names, and the words after it."""
    words = shlex.split(line.replace("…", ""), comments=True, posix=True)[1:]
    node = command_tree()
    while words and hasattr(node, "commands") and words[0] in node.commands:
        node = node.commands[words.pop(0)]
    return node, words


def options_of(node: Any) -> set[str]:
    """Every option of a command."""
    return {name for parameter in node.params for name in (*parameter.opts, *parameter.secondary_opts)}


def complaint(line: str) -> str | None:
    """Why a command cannot be given so; None if it can."""
    node, words = resolved(line)
    if hasattr(node, "commands"):
        # A group may be named alone, or with all that is below it: `model id|register`.
        alternatives = words[0].split("|") if words else []
        missing = [word for word in alternatives if word not in node.commands]
        return f"no command {missing}" if missing else None
    known = options_of(node)
    given = [word.partition("=")[0] for word in words if word.startswith("-") and not word[1:2].isdigit()]
    unknown = [word for word in given if word not in known | {"--help"}]
    return f"no option {unknown}" if unknown else None


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.stem)
def test_page_names_only_commands_that_exist(page: Path) -> None:
    """Somebody types these at night, with stake at risk."""
    found = list(commands(page.read_text(encoding="utf-8")))
    wrong = {line: why for line in found if (why := complaint(line)) is not None}

    assert wrong == {}


def test_pages_hold_enough_commands_to_check() -> None:
    """A change of how pages write commands must not leave this suite with nothing to look at."""
    assert sum(len(list(commands(page.read_text(encoding="utf-8")))) for page in DOCS) > 50
    assert complaint("sworn operator signer add KEY") is not None
    assert complaint("sworn watch --no-such-option") is not None


def test_messages_advise_only_commands_that_exist() -> None:
    """An error that advises a command which is not there leaves its reader alone."""
    wrong = {}
    for source in SOURCES:
        for line in re.findall(r"`(sworn [a-z][^`\n{]*?)(?: ?\{[^`\n]*)?`", source.read_text(encoding="utf-8")):
            if (why := complaint(line)) is not None:
                wrong[f"{source.name}: {line}"] = why

    assert wrong == {}


def lack(line: str) -> str | None:
    """What a command is not told that it needs; None where it is told everything."""
    node, words = resolved(line)
    if hasattr(node, "commands") or "--config" in words or line == "sworn doctor":
        return None
    asked = {"--rpc"} if line.startswith(ABOUT_SOMEBODY) else {"--rpc", "--keystore"}
    needed = options_of(node) & asked or options_of(node) & {"--config"}
    return " ".join(sorted(needed - set(words))) or None


@pytest.mark.parametrize("name", ["runbooks", "keys"])
def test_page_for_emergencies_names_chain_and_key_with_every_command(name: str) -> None:
    """Whoever is woken has a fresh shell: a command that lacks its chain or its key fails, with a clock running."""
    page = next(page for page in DOCS if page.stem == name)
    lacking = {line: what for line in commands(page.read_text(encoding="utf-8")) if (what := lack(line)) is not None}

    assert lacking == {}


def test_commands_that_lack_chain_or_key_are_noticed() -> None:
    """The test above is worth what it notices."""
    assert lack("sworn operator stake 1eth --rpc URL") == "--keystore"
    assert lack("sworn dispute list --operator X") == "--rpc"
    assert lack("sworn jobs list") == "--config"
    assert lack("sworn operator stake 1eth --rpc URL --keystore KEY") is None


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.stem)
def test_page_links_only_to_what_exists(page: Path) -> None:
    """A runbook that leads nowhere is worse than none."""
    missing = []
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        file, _, anchor = link.partition("#")
        if "://" in link:
            continue
        target = page if not file else page.parent / file
        if not target.exists() or (anchor and anchor not in anchors(target)):
            missing.append(link)

    assert missing == []


def anchors(page: Path) -> set[str]:
    """What a page's headings are called in links."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def exported() -> set[str]:
    """Every name that a scrape can show."""
    names = set(GAUGES) | {f"{name}_total" for name in COUNTERS}
    return names | {f"{name}_{part}" for name in HISTOGRAMS for part in ("bucket", "sum", "count")}


def used(text: str) -> set[str]:
    """Every name of ours in queries or prose."""
    return set(re.findall(r"\bsworn_[a-z_]+[a-z]\b", text))


def queries() -> list[str]:
    """What dashboard and alerts ask."""
    board = json.loads((NODE / "dashboard.json").read_text(encoding="utf-8"))
    asked = [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
    return asked + [rule["expr"] for rule in rules()]


@cache
def rules() -> list[dict[str, Any]]:
    """Every alert."""
    parsed = yaml.safe_load((NODE / "alerts.yml").read_text(encoding="utf-8"))
    return [rule for group in parsed["groups"] for rule in group["rules"]]


def test_queries_ask_only_for_what_is_exported() -> None:
    """A panel or an alert over a name that is not exported is silent for ever."""
    assert {name for query in queries() for name in used(query)} - exported() == set()


def test_everything_exported_is_shown_or_alerted() -> None:
    """A metric that nobody looks at costs a series and helps nobody: dashboard or alerts have it."""
    shown = {name for query in queries() for name in used(query)}
    families = {*GAUGES, *COUNTERS, *HISTOGRAMS}

    assert {name for name in families if not any(each.startswith(name) for each in shown)} == set()


def test_pages_name_only_metrics_that_are_exported() -> None:
    """A runbook that sends somebody to a metric which is not there wastes the time that is left."""
    names = {name for page in DOCS for name in used(page.read_text(encoding="utf-8"))}

    assert names - exported() - {*COUNTERS, *HISTOGRAMS} == set()


def test_exporter_shows_exactly_the_declared_counters() -> None:
    """The tables from which pages are written and the exporter must be one."""
    telemetry = PrometheusTelemetry(version="1")
    status = NodeStatus(role=Role.WATCHER, version="1", account=None, alive=True, components=(), figures=())
    telemetry.show(lambda: status)
    families = {family.name for family in telemetry.registry.collect() if family.name.startswith("sworn_")}

    assert families == {*COUNTERS, *HISTOGRAMS, "sworn_build_info", "sworn_ready"}


def test_queries_filter_only_by_words_that_exist() -> None:
    """An alert on a status that is never reported never fires."""
    literals = set(re.findall(r'"([a-z_]+)"', "\n".join(path.read_text(encoding="utf-8") for path in SOURCES)))
    words = {word for query in queries() for word in re.findall(r'\w+!?="([a-z_]+)"', query)}

    # The job is named by whoever scrapes.
    assert words - literals <= {"sworn"}


def test_queries_use_only_labels_that_exist() -> None:
    """A sum by a label that is not there is one number that says nothing."""
    every = {label for kind in (GAUGES, COUNTERS, HISTOGRAMS) for each in kind.values() for label in each.labels}
    for query in queries():
        named = {label for group in re.findall(r"(?:by|ignoring) ?\(([^)]*)\)", query) for label in group.split(", ")}
        named |= set(re.findall(r"[{,] ?(\w+)(?:=|!=|=~)", query))

        assert named <= every | {"le", "instance", "job"}, query


def test_rules_are_whole_and_named_once() -> None:
    """A rule without severity or summary pages nobody, or tells nobody what for."""
    names = [rule["alert"] for rule in rules()]

    assert len(names) == len(set(names))
    for rule in rules():
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}, rule
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert set(rule["annotations"]) == {"summary", "runbook"}
        assert rule["expr"].count("(") == rule["expr"].count(")")
        assert re.fullmatch(r"\d+[smh]", rule.get("for", "1m"))


def test_each_alert_has_a_runbook_that_names_it() -> None:
    """Whoever is woken by an alert must find what to do under its name, and nothing under names that are gone."""
    text = RUNBOOKS.read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE))
    named = {
        alert: re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading, body in sections.items()
        for group in re.findall(r"^\*([^*]+)\*", body, re.MULTILINE)
        for alert in re.findall(r"Sworn\w+", group)
    }
    linked = {rule["alert"]: rule["annotations"]["runbook"].partition("#")[2] for rule in rules()}

    assert named == linked
    assert all(rule["annotations"]["runbook"].startswith("docs/operating/runbooks.md#") for rule in rules())


def test_generated_pages_are_what_the_code_says() -> None:
    """A reference of settings that is older than the settings sends people to keys that are not there."""
    stale = [
        page for page, text in generate_operating.pages().items() if (ROOT / page).read_text(encoding="utf-8") != text
    ]

    assert stale == [], f"run {generate_operating.SCRIPT}"


def test_dashboard_panels_do_not_overlap() -> None:
    """Grafana moves panels that overlap, each time elsewhere."""
    board = json.loads((NODE / "dashboard.json").read_text(encoding="utf-8"))
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        grid = panel["gridPos"]
        cells = {
            (x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def keys_of_settings() -> dict[str, set[str]]:
    """The keys of every table, by its name."""
    text = generate_operating.settings_page()
    found: dict[str, set[str]] = {}
    for heading, body in re.findall(r"^### `\[+([\w.]+)\]+`\n(.*?)(?=^##|\Z)", text, re.DOTALL | re.MULTILINE):
        found.setdefault(heading, set()).update(re.findall(r"^\| `(\w+)` \|", body, re.MULTILINE))
    return found


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.stem)
def test_page_names_only_settings_that_exist(page: Path) -> None:
    """A key that is not there is an error at the start: advice that names one makes things worse."""
    known = keys_of_settings()
    text = page.read_text(encoding="utf-8")
    named = [(table, key) for table, key in re.findall(r"`(\w+)\.(\w+)(?: = [^`]*)?`", text) if table in known]

    assert [f"{table}.{key}" for table, key in named if key not in known[table]] == []


def test_runbooks_name_only_events_that_are_logged() -> None:
    """Whoever searches the log for an event that has another name finds nothing, and concludes that all is well."""
    text = RUNBOOKS.read_text(encoding="utf-8")
    sources = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES)
    named = set(re.findall(r"`([a-z]+_[a-z]+)`", text)) - set().union(*keys_of_settings().values())

    assert {event for event in named if f'"{event}"' not in sources} - {"max_value_at_risk_wei"} == set()
