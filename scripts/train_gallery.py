#!/usr/bin/env python3
"""Trains the models in sdk/sworn/testing/gallery_models and writes their cards; `--check` compares instead of writing.

Needs torch, which the development environment does not have; in an environment of its own::

    python3.11 -m venv /tmp/gallery
    /tmp/gallery/bin/pip install torch==2.13.0 onnx onnxruntime scikit-learn skl2onnx
    /tmp/gallery/bin/python scripts/train_gallery.py

Every source of randomness is seeded and linear algebra runs on one thread, so that a second run on the same machine
and the same library versions gives the same bytes.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from threadpoolctl import threadpool_limits

from gallery_cards import gallery_files
from gallery_int8 import int8_exhibits
from gallery_sklearn import sklearn_exhibits
from gallery_torch import digits, torch_exhibits

TARGET = Path(__file__).resolve().parent.parent / "sdk" / "sworn" / "testing" / "gallery_models"
MAX_TOTAL_BYTES = 2_000_000


def build() -> dict[str, bytes]:
    """File contents by file name; raises `SystemExit` when they are too large together."""
    exhibits = [*sklearn_exhibits(), *torch_exhibits()]
    source = next(exhibit for exhibit in exhibits if exhibit.name == "cnn")
    exhibits += int8_exhibits(source, digits(source.rows.shape[1:])[0])
    files = gallery_files(exhibits)
    total = sum(map(len, files.values()))
    if total > MAX_TOTAL_BYTES:
        raise SystemExit(f"the gallery has {total} bytes, more than {MAX_TOTAL_BYTES}")
    return files


def main() -> int:
    """Writes the files, or compares them; 1 when they differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the committed files instead of writing them")
    arguments = parser.parse_args()
    with threadpool_limits(limits=1):
        files = build()
    if arguments.check:
        stale = [
            name for name, data in files.items() if not (path := TARGET / name).exists() or path.read_bytes() != data
        ]
        print(f"differs: {', '.join(stale)}" if stale else "models are what the script builds")
        return 1 if stale else 0
    TARGET.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (TARGET / name).write_bytes(data)
        print(f"{name}: {len(data)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
