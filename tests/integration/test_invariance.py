"""Profile ``exact`` means the same bits on every machine: here, on every machine that this one can play."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.trace_roots import machine, subjects, trace_roots

import sworn
from sworn.model.program import Space
from sworn.referee.rules import element
from sworn.testing import gallery
from sworn.verification import CompiledModel
from sworn.verification.trace_values import element_bits

ROOT = Path(__file__).parents[2]
NETWORKS = ("squeezenet",)
NAMES = (*gallery.names(), *(f"light_{name}" for name in NETWORKS))
#: Trained by nobody, of fifty layers and 100 MB.
LARGE = "resnet50"
THREADS = (1, 2, 8)
#: Kernels that OpenBLAS has for x86 machines of twenty years, and what it calls them.
BLAS = {"Prescott": "Katmai", "Nehalem": "Nehalem", "Sandybridge": "Sandybridge", "Haswell": "Haswell"}
#: LLVM compiles for any x86-64 machine: no AVX, no FMA.
PLAIN_NUMBA = {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": ""}
#: Elements of every value that the referee computes again.
SAMPLES = 3


@cache
def expected() -> dict[str, list[str]]:
    """The roots that this process computes."""
    return trace_roots(threads=1, networks=NETWORKS)


@cache
def compiled(name: str, threads: int) -> CompiledModel:
    """A model that may use so many threads."""
    (artifact,) = (artifact for found, artifact, _ in subjects(networks=NETWORKS) if found == name)
    return sworn.compile_model(artifact, profile="exact", threads=threads)


def inputs_of(name: str) -> dict[str, Any]:
    """The inputs of one run."""
    return next(runs[0] for found, _, runs in subjects(networks=NETWORKS) if found == name)


def child(*arguments: str, networks: Sequence[str] = NETWORKS, **environment: str) -> dict[str, Any]:
    """What another process finds, whose libraries are made to take other paths."""
    path = os.pathsep.join(str(ROOT / folder) for folder in ("sdk", "scripts", "."))
    chosen = (f"--network={name}" for name in networks)
    answer = subprocess.run(
        [sys.executable, "-m", "tests.support.trace_roots", *arguments, *chosen],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path, **environment},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


def skip_unless_openblas() -> None:
    """The test is about a library that this machine may not have."""
    if sys.platform != "linux" or os.uname().machine != "x86_64" or not machine()["blas"]:
        pytest.skip("numpy does not use OpenBLAS on x86 here")


@pytest.mark.parametrize("threads", THREADS[1:])
def test_traces_with_any_number_of_threads_have_the_same_roots(threads: int) -> None:
    """Every tensor of every run, to the last bit."""
    assert trace_roots(threads=threads, networks=NETWORKS) == expected()


@pytest.mark.parametrize(
    "kernels",
    ["Prescott", "Haswell", *(pytest.param(name, marks=pytest.mark.slow) for name in ("Nehalem", "Sandybridge"))],
)
def test_traces_with_other_blas_kernels_have_the_same_roots(kernels: str) -> None:
    """Sums in other orders, with and without fused multiplication and addition."""
    skip_unless_openblas()
    found = child(OPENBLAS_CORETYPE=kernels)
    assert found["machine"]["blas"] == [BLAS[kernels]]
    assert found["roots"] == expected()


def test_traces_without_numpys_vector_loops_have_the_same_roots() -> None:
    """Numpy computes with the instructions that every machine of its kind has."""
    features = machine()["numpy"]
    if not features:
        pytest.skip("numpy has no other loops for this machine")
    found = child(NPY_DISABLE_CPU_FEATURES=" ".join(features))
    assert found["machine"]["numpy"] == []
    assert found["roots"] == expected()


def test_traces_without_numba_have_the_same_roots() -> None:
    """The kernels that are compiled, and their twins in numpy."""
    found = child("--without-numba", networks=())
    assert not found["machine"]["numba"]
    assert found["roots"] == {name: expected()[name] for name in gallery.names()}


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_traces_of_a_large_network_have_the_same_roots() -> None:
    """Fifty layers, by eight threads, and by one with the oldest kernels."""
    skip_unless_openblas()
    plain = child(networks=[LARGE])["roots"]
    assert f"light_{LARGE}" in plain
    assert child("--threads=8", networks=[LARGE])["roots"] == plain
    assert child(networks=[LARGE], OPENBLAS_CORETYPE="Prescott")["roots"] == plain


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_traces_of_a_network_without_numba_have_the_same_roots() -> None:
    """The same for a network of full size."""
    assert child("--without-numba")["roots"] == expected()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_traces_with_numba_for_the_plainest_machine_have_the_same_roots(tmp_path: Path) -> None:
    """What LLVM makes of the kernels without vector registers of more than two doubles changes nothing."""
    pytest.importorskip("numba")
    skip_unless_openblas()
    environment = {**PLAIN_NUMBA, "NUMBA_CACHE_DIR": str(tmp_path), "OPENBLAS_CORETYPE": "Prescott"}
    assert child(**environment)["roots"] == expected()


@pytest.mark.parametrize("name", NAMES)
def test_traces_hold_what_the_referee_computes(name: str) -> None:
    """On samples of every value: the referee knows nothing but integers."""
    model = compiled(name, 1)
    trace = model.trace(inputs_of(name))

    def read(space: Space, tensor: int, index: int) -> int:
        return trace.bits(tensor, index) if space is Space.VALUE else element_bits(model.weights[tensor], index)

    generator = np.random.default_rng(0)
    first = len(model.program.inputs)
    for number, step in enumerate(model.program.steps):
        for index in generator.integers(0, step.output.elements, SAMPLES).tolist():
            assert element(model.program, number, index, read) == trace.bits(first + number, index)


@pytest.mark.parametrize("name", NAMES)
def test_audits_with_other_threads_find_no_fault(name: str) -> None:
    """Nobody is convicted for the number of threads, nor for the kernels, that an auditor has."""
    traces = [compiled(name, threads).trace(inputs_of(name)) for threads in THREADS]
    for threads, trace in zip(reversed(THREADS), traces, strict=True):
        assert compiled(name, threads).audit(trace) == []
