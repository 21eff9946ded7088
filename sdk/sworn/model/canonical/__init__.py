"""Programs as canonical ONNX: what the profile `bounded` runs with stock float kernels, value by value."""

from __future__ import annotations

from sworn.model.canonical.forms import Form, restored, stored, values_of
from sworn.model.canonical.graphs import Graph, GraphModel, values_read
from sworn.model.canonical.guards import Guard, GuardKind
from sworn.model.canonical.integers import requantisations_of
from sworn.model.canonical.intervals import Intervals, is_covered
from sworn.model.canonical.selections import selections_of

__all__ = [
    "Form",
    "Graph",
    "GraphModel",
    "Guard",
    "GuardKind",
    "Intervals",
    "is_covered",
    "requantisations_of",
    "restored",
    "selections_of",
    "stored",
    "values_of",
    "values_read",
]
