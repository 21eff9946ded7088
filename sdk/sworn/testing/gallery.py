"""The gallery: one small trained model of every kind, from a linear one to a transformer, for tests and benchmarks.

``scripts/train_gallery.py`` built them. They need nothing that trained them: neither scikit-learn nor torch.
"""

from __future__ import annotations

from typing import Any

from sworn.testing.models import Collection, ExampleRow

_GALLERY = Collection(folder="gallery_models", cards_file="gallery.json")


def names() -> tuple[str, ...]:
    """Names that the other functions take."""
    return _GALLERY.names()


def card(name: str) -> dict[str, Any]:
    """Data set, estimator, tensors, held-out score and sha256 of a model; raises `ConfigurationError`."""
    return _GALLERY.card(name)


def load(name: str) -> bytes:
    """The model's .onnx file; raises `ConfigurationError` for an unknown name."""
    return _GALLERY.load(name)


def rows(name: str) -> tuple[ExampleRow, ...]:
    """Held-out rows with onnxruntime's answers and the truth; raises `ConfigurationError` for an unknown name."""
    return _GALLERY.rows(name)
