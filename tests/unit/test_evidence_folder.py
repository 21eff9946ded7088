"""Clearing a folder of traces takes nothing from anybody else."""

from __future__ import annotations

from pathlib import Path

import pytest

from sworn.errors import ConfigurationError
from sworn.watcher.challenger.evidence_folder import EvidenceFolder

NAME = "ab" * 32


def names(folder: Path) -> set[str]:
    """What lies in it."""
    return {path.name for path in folder.iterdir()}


def test_folder_is_cleared_of_what_challengers_left_and_of_nothing_else(tmp_path: Path) -> None:
    """A folder that is named by mistake, a home for example, would be gone with all that is in it."""
    needed = tmp_path / f"{NAME}.own"
    for name in (f"{NAME}.own", f"{NAME}.trace", ".partial-abcd_123", "letter.txt", f"{NAME}.json", "keys"):
        (tmp_path / name).write_text("x")
    for name in ("sworn-run-abcd_123", "run-20261122", "photographs"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "trace").write_text("x")
    (tmp_path / "sworn-run-linked_1").symlink_to(tmp_path / "photographs")
    EvidenceFolder(tmp_path).clear({needed})
    assert names(tmp_path) == {needed.name, "letter.txt", f"{NAME}.json", "keys", "photographs", "run-20261122"}
    assert (tmp_path / "photographs" / "trace").exists()


def test_folder_is_not_cleared_beside_another_challenger(tmp_path: Path) -> None:
    """The evidence of its disputes would be gone in the middle of them."""
    living, second, third = (EvidenceFolder(tmp_path / "new") for _ in range(3))
    living.clear(())
    trace = tmp_path / "new" / f"{NAME}.trace"
    trace.write_text("x")
    second.clear(())
    living.clear(())
    assert trace.exists()
    second.close()
    living.close()
    third.clear(())
    assert not trace.exists()


def test_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    """Found when the first trace is to be kept, it would cost a challenge."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigurationError, match="traces cannot be kept in"):
        EvidenceFolder(tmp_path / "file").clear(())
