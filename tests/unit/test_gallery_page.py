from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

import generate_gallery
import measure_gallery
from sworn.testing import gallery, models

FIGURES = json.loads(measure_gallery.TARGET.read_text(encoding="utf-8"))


def test_figures_of_the_gallery_are_there_for_every_model() -> None:
    """Every model that ships was measured in both profiles."""
    assert list(FIGURES["models"]) == [*gallery.names(), *models.model_names()]
    for figures in FIGURES["models"].values():
        assert min(figures[f"{name}_ms"] for name in ("onnxruntime", "exact", "bounded")) > 0
        assert 0 <= figures["slack"]["reached"] <= figures["slack"]["estimate"] * 1.001


def test_page_with_figures_of_another_model_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures belong to what a file compiles to: whoever changes that measures again."""
    changed = json.loads(json.dumps(FIGURES))
    changed["models"]["mlp"]["model_id"] = hashlib.sha256(b"another").hexdigest()
    path = tmp_path / "figures.json"
    path.write_text(json.dumps(changed), encoding="utf-8")
    monkeypatch.setattr(generate_gallery, "TARGET", path)
    with pytest.raises(SystemExit) as caught:
        generate_gallery.page()
    assert "--only mlp" in str(caught.value)


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (8.2e-6, "8.2e-06"), (1.6e-4, "0.016 %"), (0.0105, "1.1 %"), (2.09, "210 %")]
)
def test_part_of_a_magnitude_is_told_in_per_cent_where_people_can_read_it(value: float, text: str) -> None:
    """Nobody counts zeros, and nobody reads exponents of large parts."""
    assert generate_gallery.part(value) == text
