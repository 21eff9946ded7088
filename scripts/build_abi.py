"""Compiles the contracts and writes ``abi/``; with ``--check``, only says whether what is there is up to date."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from solidity import (
    EVM_VERSION,
    OPTIMIZER_RUNS,
    ROOT,
    SOLC_VERSION,
    Artifact,
    CompilationFailed,
    Declaration,
    compile_sources,
    contract_sources,
    declarations,
    standard_input,
)

ABI = ROOT / "abi"
STANDARD_INPUT = Path("standard-json", "input.json")


def render(value: Any) -> str:
    """JSON as it is committed: sorted, indented, with a newline at the end."""
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def is_published(declaration: Declaration, artifact: Artifact) -> bool:
    """Whether a declaration has a file in ``abi/``.

    Abstract contracts are inherited and libraries are inlined, so neither is deployed; but a consumer can revert with
    the errors of any library, used by our own contracts or not.
    """
    return declaration.kind in {"contract", "interface"} or (declaration.kind == "library" and bool(artifact.abi))


def describe(declaration: Declaration, artifact: Artifact) -> dict[str, Any]:
    """The content of one file of ``abi/``."""
    deployable = declaration.kind == "contract"
    return {
        "abi": artifact.abi,
        "bytecode": artifact.bytecode if deployable else "0x",
        "compiler": {
            "evmVersion": EVM_VERSION,
            "optimizerRuns": OPTIMIZER_RUNS,
            "version": SOLC_VERSION,
            "viaIR": True,
        },
        "contractName": artifact.contract_name,
        "runtimeSize": artifact.runtime_size if deployable else 0,
        "sourceName": artifact.source_name,
    }


def expected_files() -> dict[Path, str]:
    """Every file that belongs under ``abi/``, by path from there. Raises `CompilationFailed`."""
    sources = contract_sources()
    artifacts = compile_sources(sources, strict=True)
    declared = [declaration for source in sources for declaration in declarations(source)]
    published = [(d, artifacts[d.name]) for d in declared if is_published(d, artifacts[d.name])]
    files = {Path(f"{d.name}.json"): render(describe(d, artifact)) for d, artifact in published}
    files[STANDARD_INPUT] = render(standard_input(sources))
    return files


def differences(expected: dict[Path, str]) -> list[str]:
    """One line for each file that is missing, stale or no longer made from anything."""
    present = {path.relative_to(ABI) for path in ABI.rglob("*.json")}
    lines = [f"abi/{path}: no contract makes it" for path in sorted(present - expected.keys())]
    for path, content in sorted(expected.items()):
        if path not in present:
            lines.append(f"abi/{path}: missing")
        elif (ABI / path).read_text(encoding="utf-8") != content:
            lines.append(f"abi/{path}: out of date")
    return lines


def write(expected: dict[Path, str]) -> None:
    """Makes ``abi/`` hold exactly the expected files."""
    for path in ABI.rglob("*.json"):
        if path.relative_to(ABI) not in expected:
            path.unlink()
    for path, content in expected.items():
        (ABI / path).parent.mkdir(parents=True, exist_ok=True)
        (ABI / path).write_text(content, encoding="utf-8")


def main() -> int:
    """Runs the command line; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if anything would change")
    arguments = parser.parse_args()
    try:
        expected = expected_files()
    except CompilationFailed as error:
        print(error, file=sys.stderr)
        return 1
    changes = differences(expected)
    print("\n".join(changes) if changes else f"abi/: {len(expected)} files, up to date")
    if arguments.check:
        if changes:
            print("run .venv/bin/python scripts/build_abi.py and commit what it writes", file=sys.stderr)
        return 1 if changes else 0
    write(expected)
    return 0


if __name__ == "__main__":
    sys.exit(main())
