#!/usr/bin/env python3
"""Computes the id of every gallery model under several versions of onnx and numpy, and compares with the committed ids.

Each pair of versions is installed from PyPI into a folder of its own, which is thrown away; everything else is the
environment that runs this script. By hand::

    .venv/bin/python scripts/check_ids.py            # installs, computes, compares; needs PyPI
    .venv/bin/python scripts/check_ids.py --print    # the ids under the versions that are installed, as JSON
    .venv/bin/python scripts/check_ids.py --accept   # writes those to tests/snapshots/model_ids.json
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SNAPSHOT = ROOT / "tests" / "snapshots" / "model_ids.json"
PACKAGES = ("onnx", "numpy")
#: Oldest and newest versions that pyproject.toml admits, and older ones: ids are to outlive what is installed now.
PAIRS = (("1.23.2", "2.4.6"), ("1.23.0", "2.4.0"), ("1.20.1", "2.3.5"), ("1.18.0", "2.0.2"))

Ids = dict[str, dict[str, str]]


def computed() -> Ids:
    """By model and profile, the id in hexadecimal digits."""
    import sworn
    from sworn.testing import gallery

    return {
        name: {
            profile: f"0x{sworn.model_id(gallery.load(name), profile=profile).hex()}"
            for profile in ("signed", "exact", "bounded")
        }
        for name in gallery.names()
    }


def computed_under(versions: tuple[str, ...], folder: Path) -> Ids:
    """The same in a process that sees other versions. Raises `SystemExit` where it does not see them."""
    wanted = [f"{name}=={number}" for name, number in zip(PACKAGES, versions, strict=True)]
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), *wanted]
    subprocess.run(install, check=True)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(folder), str(ROOT / "sdk")))}
    command = [sys.executable, str(Path(__file__).resolve()), "--print"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    result = json.loads(done.stdout)
    if tuple(result["versions"]) != versions:
        raise SystemExit(f"asked for {wanted}, got {result['versions']}")
    ids: Ids = result["ids"]
    return ids


def differing(ids: Ids, golden: Ids) -> list[str]:
    """The models and profiles whose ids are not the committed ones."""
    places = sorted({(name, profile) for part in (ids, golden) for name in part for profile in part[name]})
    return [f"{n} {p}" for n, p in places if ids.get(n, {}).get(p) != golden.get(n, {}).get(p)]


def main() -> int:
    """The exit status is 1 where an id differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--print", action="store_true", help="print the ids under the installed versions")
    parser.add_argument("--accept", action="store_true", help="write them to the snapshot")
    arguments = parser.parse_args()
    if arguments.print:
        print(json.dumps({"versions": [version(name) for name in PACKAGES], "ids": computed()}))
        return 0
    if arguments.accept:
        SNAPSHOT.write_text(json.dumps(computed(), indent=1, sort_keys=True) + "\n", encoding="utf-8")
        return 0
    golden: Ids = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
    failed = False
    for versions in PAIRS:
        with tempfile.TemporaryDirectory() as folder:
            wrong = differing(computed_under(versions, Path(folder)), golden)
        failed |= bool(wrong)
        print(f"onnx {versions[0]}, numpy {versions[1]}: {', '.join(wrong) if wrong else 'all ids equal'}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
