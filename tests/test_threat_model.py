from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
from tests.support.system import DISPUTE_PARAMETERS

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "contracts" / "README.md").read_text(encoding="utf-8")
#: The traps that every version has to hold off, by a word of each row.
TRAPS = (
    *("griefing challenger", "wash a bond", "squeeze time", "withheld trace", "withheld weights", "garbage trace root"),
    *("front-run", "parked commitment", "copycat", "last-second", "timeout", "resolved dispute", "between moves"),
    *("request and result", "relayed again", "replayed signature", "malleable", "delegated", "second preimage"),
    *("wrong depth", "out of range", "padding", "non-canonical", "hint wrong", "reentrant", "gas-griefing"),
    *("return-bombing", "oversized output", "callback gas", "forced ether", "without a way to receive", "unbonding"),
    *(
        "rotated",
        "crash between",
        "tiny or huge",
        "unprovable steps",
        "foreign program",
        "zero-size",
        "product overflow",
    ),
    *("10,000 open requests",),
)


@cache
def functions() -> frozenset[str]:
    """Names of all test functions."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    return frozenset(re.findall(r"^(?:async )?def (test_\w+)\(", text, flags=re.MULTILINE))


def rows() -> list[list[str]]:
    """Cells of the table of traps."""
    _, _, table = README.partition("## Traps, and the tests that hold them off")
    lines = [line for line in table.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def test_every_test_that_the_threat_model_names_exists() -> None:
    """A trap is held off by a test that runs, not by a name; in the text as in the table."""
    named = set(re.findall(r"`(test_\w+)`", README))
    assert len(named) > len(TRAPS)
    assert not sorted(named - functions())


def test_every_row_of_the_threat_model_names_a_test() -> None:
    """No trap is held off by words alone."""
    assert len(rows()) > len(TRAPS) // 2
    assert not [row[0] for row in rows() if len(row) != 3 or not re.search(r"`test_\w+`", row[2])]


@pytest.mark.parametrize("trap", TRAPS)
def test_threat_model_has_a_row_for_every_trap(trap: str) -> None:
    """The list of traps is complete."""
    assert any(trap in row[0] for row in rows())


def test_invariants_are_numbered_without_a_gap() -> None:
    """Others cite them by number."""
    numbers = [int(number) for number in re.findall(r"^\| INV-(\d+) \|", README, flags=re.MULTILINE)]
    assert numbers == list(range(1, len(numbers) + 1))


def test_parameters_of_disputes_are_stated_as_they_are_deployed() -> None:
    """The table names what tests and deployments use."""
    stated = re.findall(r"^\| `demandSeconds` \| ([\d,]+) s \|", README, flags=re.MULTILINE)
    assert [int(number.replace(",", "")) for number in stated] == [DISPUTE_PARAMETERS["demandSeconds"]]
