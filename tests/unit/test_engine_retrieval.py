"""Files from another machine: whole, durable and where they belong, or not there at all."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sworn.engine import retrieval
from sworn.engine.ray_workforce import RayPlacement, RayWorkforce
from sworn.engine.retrieval import Retrieval
from sworn.engine.workers import WorkerLost
from sworn.errors import ConfigurationError, TraceError

DATA = bytes(range(256)) * 5


def from_memory(name: str, offset: int, size: int) -> bytes:
    """Reads a file that another machine has."""
    return DATA[offset : offset + size]


def test_file_in_pieces_arrives_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces come in order, the last one shorter; nothing else is left in the folder."""
    monkeypatch.setattr(retrieval, "_PIECE_BYTES", 500)
    Retrieval(from_memory).bring([("", len(DATA))], str(tmp_path / "trace"))
    assert (tmp_path / "trace").read_bytes() == DATA
    assert [path.name for path in tmp_path.iterdir()] == ["trace"]


def test_files_of_a_folder_arrive_in_the_order_in_which_they_were_written(tmp_path: Path) -> None:
    """What is written last says that the others are there."""
    asked: list[str] = []

    def read(name: str, offset: int, size: int) -> bytes:
        asked.append(name)
        return from_memory(name, offset, size)

    Retrieval(read).bring([("weights", 9), ("program", 3), ("empty", 0)], str(tmp_path / "model"))
    assert asked == ["weights", "program"]
    assert {path.name: path.stat().st_size for path in (tmp_path / "model").iterdir()} == {
        "weights": 9,
        "program": 3,
        "empty": 0,
    }


@pytest.mark.parametrize("name", ["../trace", "/etc/passwd", "..", ".", "a/b"])
def test_file_whose_name_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    """Another machine may be lied to, or lie; it writes nowhere but where it was told."""
    with pytest.raises(TraceError):
        Retrieval(from_memory).bring([(name, 3)], str(tmp_path / "model"))
    assert not list(tmp_path.rglob("*trace*"))


def test_file_that_comes_short_or_not_at_all_leaves_nothing(tmp_path: Path) -> None:
    """A trace that is not whole is no trace."""

    def lost(name: str, offset: int, size: int) -> bytes:
        raise WorkerLost

    with pytest.raises(WorkerLost):
        Retrieval(lost).bring([("", 10)], str(tmp_path / "trace"))
    with pytest.raises(TraceError, match="short"):
        Retrieval(from_memory).bring([("", len(DATA) + 1)], str(tmp_path / "trace"))
    with pytest.raises(TraceError, match="written"):
        Retrieval(from_memory).bring([("", 1)], str(tmp_path / "missing" / "trace"))
    assert list(tmp_path.iterdir()) == []


def test_ray_that_is_missing_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks for Ray without having it is told what to install."""
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigurationError, match=r"sworn-oracle\[ray\]"):
        RayWorkforce(RayPlacement(), workers=1)
