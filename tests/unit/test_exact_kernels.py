"""Which kernels an executor uses where numba, or a place to keep what it compiles, is missing."""

from __future__ import annotations

import importlib
from types import ModuleType

import numpy as np
import pytest
from tests.support.programs import inputs_of, matmul, weights_of
from tests.support.refereeing import refereed, words

from sworn.engine.exact import ExactExecutor
from sworn.engine.exact.kernels import kernels, tape_loop
from sworn.errors import ConfigurationError


def without(monkeypatch: pytest.MonkeyPatch, failing: str, error: Exception) -> None:
    """Makes modules whose names begin so fail to load."""
    load = importlib.import_module

    def import_module(name: str, package: str | None = None) -> ModuleType:
        if name.startswith(failing):
            raise error
        return load(name, package)

    monkeypatch.setattr(importlib, "import_module", import_module)


@pytest.mark.parametrize("error", [ImportError("no numba"), RuntimeError("no locator available")])
def test_without_a_kept_loop_steps_run_one_by_one(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Where the loop cannot be kept on disk, compiling it in each process would cost more than it gains."""
    without(monkeypatch, "sworn.engine.exact.tape.loop", error)
    assert tape_loop() is None
    generator = np.random.default_rng(1)
    made = matmul(3, 5, 4)
    weights, inputs = weights_of(made, generator), inputs_of(made, generator)
    executor = ExactExecutor(made, weights)
    assert executor._tape is None
    assert words(executor.run(inputs)[1]) == refereed(made, inputs, weights)


def test_without_numba_it_cannot_be_demanded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is demanded is not left out silently; what is not is done in numpy."""
    without(monkeypatch, "sworn.engine.exact.compiled", ImportError("no numba"))
    with pytest.raises(ConfigurationError, match="numba is not installed"):
        kernels(accelerate=True)
    assert kernels().__name__ == "sworn.engine.exact.interpreted"  # type: ignore[attr-defined]
