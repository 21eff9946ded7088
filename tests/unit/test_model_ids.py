"""The ids of the models that ship with the package, as they are committed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import sworn
from sworn.testing import gallery

GOLDEN = json.loads((Path(__file__).resolve().parents[1] / "snapshots" / "model_ids.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", gallery.names())
@pytest.mark.parametrize("profile", ["signed", "exact", "bounded"])
def test_id_of_a_gallery_model_is_the_committed_one(name: str, profile: str) -> None:
    """Whatever versions are installed: an id that changes means that the model has come to mean something else."""
    assert f"0x{sworn.model_id(gallery.load(name), profile=profile).hex()}" == GOLDEN[name][profile]


def test_snapshot_names_the_gallery() -> None:
    """No model that is gone, none that is missing."""
    assert GOLDEN.keys() == set(gallery.names())
