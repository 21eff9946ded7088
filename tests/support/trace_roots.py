"""Prints the trace roots of many runs as JSON: what must not depend on the machine that makes them.

::

    python -m tests.support.trace_roots [--threads 8] [--without-numba] [--network squeezenet …]
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def subjects(*, networks: Sequence[str]) -> Iterator[tuple[str, bytes, list[dict[str, NDArray[Any]]]]]:
    """Names, artifacts, and the inputs of their runs: the gallery on real rows, networks on a random image."""
    from gallery_light import SEED, light_network
    from sworn.model import schema_of
    from sworn.testing import gallery

    for name in gallery.names():
        yield name, gallery.load(name), [dict(row.inputs) for row in gallery.rows(name)]
    pixels = np.random.default_rng(SEED).standard_normal((1, 3, 224, 224), dtype=np.float32)
    for name in networks:
        artifact = light_network(name)
        yield f"light_{name}", artifact, [{schema_of(artifact).inputs[0].name: pixels}]


def trace_roots(*, threads: int, networks: Sequence[str]) -> dict[str, list[str]]:
    """Model id, then the trace root of each run, in hex, by the model's name."""
    import sworn

    found = {}
    for name, artifact, runs in subjects(networks=networks):
        model = sworn.compile_model(artifact, profile="exact", threads=threads)
        found[name] = [model.model_id.hex(), *(model.trace(inputs).root.hex() for inputs in runs)]
    return found


def machine() -> dict[str, Any]:
    """What computes: the BLAS library's code path, numpy's features beyond its baseline, whether numba is there."""
    umath = importlib.import_module("numpy._core._multiarray_umath")
    libraries = importlib.import_module("threadpoolctl").threadpool_info()
    return {
        "blas": sorted({each["architecture"] for each in libraries if each["user_api"] == "blas"}),
        "numpy": [name for name in umath.__cpu_dispatch__ if umath.__cpu_features__[name]],
        "numba": sys.modules.get("numba") is not None,
    }


def main() -> None:
    """Runs and prints."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--without-numba", action="store_true")
    parser.add_argument("--network", action="append", default=[])
    arguments = parser.parse_args()
    if arguments.without_numba:
        # What Python says of a module that is not there.
        sys.modules["numba"] = None  # type: ignore[assignment]
    roots = trace_roots(threads=arguments.threads, networks=arguments.network)
    sys.stdout.write(json.dumps({"roots": roots, "machine": machine()}))


if __name__ == "__main__":
    main()
