"""Malformed and greedy files: typed errors, never a crash, a hang or much memory. A child process compiles them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

#: Files built by hand that are good, only large.
GOOD = {"doubled values", "many nodes"}


def report(*arguments: str) -> dict[str, Any]:
    """What a child with a limit on memory and time says of many files."""
    command = [sys.executable, "-m", "tests.support.hostile", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_files_built_by_hand_end_with_typed_errors() -> None:
    """Cycles, names that are missing or there twice, numbers beyond reason, calls in calls, bytes that do not fit."""
    found = report("--cases")
    assert set(found["compiled"]) == GOOD
    assert found["slowest_s"] < 10 and found["peak_mib"] < 1024


def test_files_damaged_at_random_end_with_typed_errors() -> None:
    """Bytes and fields of good models, changed."""
    found = report("--seed", "3", "--count", "400")
    assert found["files"] == 400
    assert {"compiled", "ModelMalformed", "ModelUnsupported"} <= found["by_outcome"].keys()
    assert found["slowest_s"] < 10 and found["peak_mib"] < 1024


@pytest.mark.slow
def test_many_files_damaged_at_random_end_with_typed_errors() -> None:
    """The same, often."""
    assert report("--seed", "4", "--count", "12000")["slowest_s"] < 10
