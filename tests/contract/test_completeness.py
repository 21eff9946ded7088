from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.artifacts import artifacts

_INTERFACES = ("IInferenceOracle", "IOperatorRegistry", "IModelRegistry", "IDisputeGame", "ISignedResults")
_TESTS = "".join(path.read_text(encoding="utf-8") for path in sorted(Path(__file__).parent.glob("test_*.py")))


def _named(kind: str) -> list[str]:
    return sorted({entry["name"] for name in _INTERFACES for entry in artifacts()[name].abi if entry["type"] == kind})


@pytest.mark.parametrize("name", _named("error"))
def test_error_has_test(name: str) -> None:
    """Every custom error is provoked somewhere in this folder."""
    assert f'"{name}"' in _TESTS


@pytest.mark.parametrize("name", _named("event"))
def test_event_has_test(name: str) -> None:
    """Every event is asserted somewhere in this folder."""
    assert f'"{name}"' in _TESTS


@pytest.mark.parametrize("name", _named("function"))
def test_function_has_test(name: str) -> None:
    """Every external function is called somewhere in this folder, or through the scene or the court."""
    support = Path(__file__).parents[1] / "support"
    moves = "".join((support / each).read_text(encoding="utf-8") for each in ("scene.py", "court.py"))
    assert f'"{name}"' in _TESTS + moves
