from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

import generate_support
import generated_pages

BASIS = re.compile(r"of onnx [\w.]+")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty repository in which ``--check`` is asked for."""
    monkeypatch.setattr(generated_pages, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "argv", ["script", "--check"])
    return tmp_path


def run(text: str) -> int:
    """The exit status for a page that should have a text."""
    return generated_pages.run("script", page="page.md", description="", text_of=lambda: text, basis=BASIS)


@pytest.mark.parametrize(
    ("committed", "status"),
    [
        ("of onnx 1.23.2, 5 passed", 0),
        ("of onnx 1.23.2, 4 passed", 1),
        ("of onnx 1.22.0, 4 passed", 0),
        ("4 passed", 1),
    ],
)
def test_check_of_a_page_fails_on_drift_alone(root: Path, committed: str, status: int) -> None:
    """A page that differs fails, unless it says itself that it rests on another release."""
    (root / "page.md").write_text(committed, encoding="utf-8")
    assert run("of onnx 1.23.2, 5 passed") == status
    assert (root / "page.md").read_text(encoding="utf-8") == committed


def test_check_without_the_page_fails(root: Path) -> None:
    """A page that was never written is stale, and a check does not write it."""
    assert run("text") == 1 and not any(root.iterdir())


def test_run_without_check_writes_the_page(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written is up to date."""
    monkeypatch.setattr(sys, "argv", ["script"])
    assert run("text") == 0 and (root / "page.md").read_text(encoding="utf-8") == "text"


def test_table_with_bars_in_cells_escapes_them() -> None:
    """A cell stays a cell, and a colon aligns to the right."""
    assert generated_pages.table(["a", "b:"], [["x|y", "1"]]) == "| a | b |\n|---|---:|\n| x\\|y | 1 |\n"


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("input 'X' has element type int4, which is not supported", "int4"),
        ("input 'x' is float64, which is not supported; convert the model to float32", "float64"),
        ("output: a tensor without elements, of shape (20, 0, 5)", "a tensor without elements"),
        ("Mod z: floats need fmod=1", "floats need fmod=1"),
        ("something new", "something new"),
    ],
)
def test_kind_of_a_refusal_leaves_out_names(reason: str, kind: str) -> None:
    """Refusals that differ in names of tensors only are counted together; an unknown one stays as it is."""
    assert generate_support.kind(reason) == kind
