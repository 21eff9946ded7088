"""Models that come with this package, with real rows to run them on.

The functions serve the demo's models, as ``scripts/train_models.py`` built them; `sworn.testing.gallery` has others.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sworn.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleRow:
    """One row that the model was not trained on; arrays have the model's dtypes and shapes."""

    inputs: Mapping[str, NDArray[Any]]
    #: What the model gives, up to rounding.
    outputs: Mapping[str, NDArray[Any]]
    #: What is true.
    target: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """A folder of .onnx files beside this module, with a file of cards; methods raise `ConfigurationError`."""

    folder: str
    cards_file: str

    def names(self) -> tuple[str, ...]:
        """Names that the other methods take."""
        return tuple(self._cards())

    def card(self, name: str) -> dict[str, Any]:
        """Data set, estimator, tensors, held-out score and sha256 of a model."""
        cards = self._cards()
        if name not in cards:
            raise ConfigurationError(f"no model {name!r}; there are {', '.join(cards)}")
        return cards[name]

    def load(self, name: str) -> bytes:
        """The model's .onnx file."""
        file_name: str = self.card(name)["file"]
        return (self._place() / file_name).read_bytes()

    def rows(self, name: str) -> tuple[ExampleRow, ...]:
        """Rows of the held-out data with inputs, expected outputs and truth."""
        card = self.card(name)
        return tuple(
            ExampleRow(
                inputs=_arrays(card["inputs"], example["inputs"]),
                outputs=_arrays(card["outputs"], example["outputs"]),
                target=float(example["target"]),
            )
            for example in card["examples"]
        )

    def _place(self) -> Traversable:
        return files("sworn.testing") / self.folder

    def _cards(self) -> dict[str, dict[str, Any]]:
        text = (self._place() / self.cards_file).read_text(encoding="utf-8")
        return {card["name"]: card for card in json.loads(text)["models"]}


_DEMO = Collection(folder="models", cards_file="models.json")


def model_names() -> tuple[str, ...]:
    """Names that the other functions take."""
    return _DEMO.names()


def model_card(name: str) -> dict[str, Any]:
    """Data set, estimator, tensors, held-out score and sha256 of a model; raises `ConfigurationError`."""
    return _DEMO.card(name)


def load_model(name: str) -> bytes:
    """The model's .onnx file; raises `ConfigurationError` for an unknown name."""
    return _DEMO.load(name)


def example_rows(name: str) -> tuple[ExampleRow, ...]:
    """Rows of the held-out data with inputs, expected outputs and truth; raises `ConfigurationError`."""
    return _DEMO.rows(name)


def _arrays(tensors: list[dict[str, Any]], values: dict[str, Any]) -> dict[str, NDArray[Any]]:
    return {
        tensor["name"]: np.array(values[tensor["name"]], dtype=tensor["dtype"]).reshape(tensor["shape"])
        for tensor in tensors
    }
