"""Compiles Solidity with the pinned compiler: a native solc of exactly that build if there is one, else the npm one.

Results are kept under ``.cache/solc``, keyed by compiler and full input, so that neither tests nor ``build_abi.py``
compile anything twice.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import posixpath
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import solcx
from solcx.exceptions import SolcError, SolcNotInstalled
from solcx.wrapper import get_version_str_from_solc_binary

ROOT = Path(__file__).resolve().parent.parent
CONTRACTS = ROOT / "contracts"
CACHE = ROOT / ".cache" / "solc"
NODE_SHIM = ROOT / "scripts" / "solc_node.js"

#: Native and npm builds of one commit emit the same code, so the commit is the whole identity.
SOLC_VERSION = "0.8.37+commit.f401782d"
EVM_VERSION = "cancun"
#: Favours gas per call over deployment cost.
OPTIMIZER_RUNS = 700

#: Warnings and infos of our own sources that do not fail a build, by solc's error code, with the reason.
PERMITTED_WARNINGS: Mapping[str, str] = {}

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_IMPORT = re.compile(r"""^\s*import\s+(?:[^;"']*?\bfrom\s+)?["']([^"']+)["']""", re.MULTILINE)
_DECLARATION = re.compile(r"^(abstract\s+contract|contract|interface|library)\s+(\w+)", re.MULTILINE)


class CompilationFailed(Exception):
    """The sources do not compile, or not without warnings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """One contract, interface or library in a source file."""

    #: ``contract``, ``abstract contract``, ``interface`` or ``library``.
    kind: str
    name: str
    #: Path from the repository root, with forward slashes.
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """What the compiler makes of one declaration; ``bytecode`` is ``0x`` where nothing can be deployed."""

    contract_name: str
    source_name: str
    abi: list[dict[str, Any]]
    #: Creation code, 0x-prefixed hex.
    bytecode: str
    #: Bytes of runtime code; EIP-170 allows 24,576.
    runtime_size: int


def strip_comments(text: str) -> str:
    """Solidity text without its comments."""
    return _COMMENT.sub("", text)


def contract_sources() -> list[Path]:
    """Every Solidity file of the product, sorted."""
    return sorted(CONTRACTS.rglob("*.sol"))


def declarations(path: Path) -> list[Declaration]:
    """The contracts, interfaces and libraries that a file declares."""
    text = strip_comments(path.read_text(encoding="utf-8"))
    source = path.relative_to(ROOT).as_posix()
    return [Declaration(kind=" ".join(k.split()), name=n, source=source) for k, n in _DECLARATION.findall(text)]


def resolve_sources(paths: Iterable[Path]) -> dict[str, str]:
    """The files and everything that they import, by source name, sorted.

    Source names are paths from the repository root, except for packages from npm, which keep their import path.
    Raises `CompilationFailed` for an import that leads nowhere.
    """
    found: dict[str, str] = {}
    waiting = [path.resolve().relative_to(ROOT).as_posix() for path in paths]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        file = ROOT / "node_modules" / name if name.startswith("@") else ROOT / name
        if not file.is_file():
            raise CompilationFailed(f"{name} is imported, but {file} does not exist; run scripts/test or npm ci once")
        found[name] = file.read_text(encoding="utf-8")
        for target in _IMPORT.findall(strip_comments(found[name])):
            relative = target.startswith(".")
            waiting.append(posixpath.normpath(posixpath.join(posixpath.dirname(name), target)) if relative else target)
    return dict(sorted(found.items()))


def standard_input(paths: Iterable[Path]) -> dict[str, Any]:
    """The standard JSON input that compiles the files; the same on every machine."""
    wanted = sorted(path.resolve().relative_to(ROOT).as_posix() for path in paths)
    outputs = ["abi", "evm.bytecode.object", "evm.bytecode.linkReferences", "evm.deployedBytecode.object"]
    return {
        "language": "Solidity",
        "settings": {
            "evmVersion": EVM_VERSION,
            # Without the metadata hash the code does not change with a comment.
            "metadata": {"bytecodeHash": "none"},
            "optimizer": {"enabled": True, "runs": OPTIMIZER_RUNS},
            "outputSelection": {name: {"*": outputs} for name in wanted},
            "viaIR": True,
        },
        "sources": {
            name: {"content": content} for name, content in resolve_sources(ROOT / name for name in wanted).items()
        },
    }


def find_compiler() -> Path:
    """A native solc of exactly the pinned build, from PATH or py-solc-x's folder; else the shim over the npm one."""
    candidates = [Path(found)] if (found := shutil.which("solc")) else []
    with suppress(SolcNotInstalled):
        candidates.append(solcx.install.get_executable(SOLC_VERSION.partition("+")[0]))
    return next((path for path in [*candidates, NODE_SHIM] if _version_of(path) == SOLC_VERSION), NODE_SHIM)


def compile_sources(paths: Iterable[Path], *, strict: bool = False) -> dict[str, Artifact]:
    """Compiles the files; every contract, interface and library declared in them, by name.

    With ``strict``, any warning in a source that is not from npm counts as an error, unless it is in
    `PERMITTED_WARNINGS`. Raises `CompilationFailed`.
    """
    output = _compile(standard_input(paths))
    complaints = [w for w in output["warnings"] if w["code"] not in PERMITTED_WARNINGS]
    if strict and complaints:
        raise CompilationFailed("\n".join(w["text"] for w in complaints))
    artifacts: dict[str, Artifact] = {}
    for fields in output["artifacts"]:
        artifact = Artifact(**fields)
        if artifact.contract_name in artifacts:
            raise CompilationFailed(f"two sources declare {artifact.contract_name}; names have to be unique")
        artifacts[artifact.contract_name] = artifact
    return artifacts


def _compile(source: dict[str, Any]) -> dict[str, Any]:
    text = json.dumps(source, sort_keys=True)
    # The module's own text decides what is kept of an output.
    key = hashlib.sha256("\n".join([SOLC_VERSION, Path(__file__).read_text("utf-8"), text]).encode()).hexdigest()
    cached = CACHE / f"{key}.json"
    with _lock():
        if not cached.is_file():
            output = json.dumps(_condense(_run_compiler(source)), sort_keys=True)
            partial = cached.with_suffix(".partial")
            partial.write_text(output, encoding="utf-8")
            partial.replace(cached)
    content: dict[str, Any] = json.loads(cached.read_text(encoding="utf-8"))
    return content


def _run_compiler(source: dict[str, Any]) -> dict[str, Any]:
    # Where Node came from PyPI it lies beside the interpreter, which need not be on PATH.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    compiler = find_compiler()
    if (version := _version_of(compiler)) != SOLC_VERSION:
        raise CompilationFailed(f"needs solc {SOLC_VERSION}, but {compiler} is {version or 'not usable'}; run npm ci")
    try:
        output: dict[str, Any] = solcx.compile_standard(source, solc_binary=compiler)
    except SolcError as error:
        raise CompilationFailed(error.message) from error
    return output


def _version_of(compiler: Path) -> str | None:
    try:
        return get_version_str_from_solc_binary(compiler)
    except (OSError, subprocess.CalledProcessError, SolcError, StopIteration):
        return None


def _condense(output: Mapping[str, Any]) -> dict[str, Any]:
    warnings = [
        {"code": entry.get("errorCode", ""), "text": entry["formattedMessage"]}
        for entry in output.get("errors", [])
        if not entry.get("sourceLocation", {}).get("file", "").startswith("@")
    ]
    return {"artifacts": [asdict(artifact) for artifact in _artifacts(output)], "warnings": warnings}


def _artifacts(output: Mapping[str, Any]) -> Iterator[Artifact]:
    for source, contracts in sorted(output.get("contracts", {}).items()):
        for name, contract in sorted(contracts.items()):
            evm = contract["evm"]
            if evm["bytecode"]["linkReferences"]:
                raise CompilationFailed(f"{name} needs a deployed library; only internal library functions are used")
            yield Artifact(
                contract_name=name,
                source_name=source,
                abi=contract["abi"],
                bytecode="0x" + evm["bytecode"]["object"],
                runtime_size=len(evm["deployedBytecode"]["object"]) // 2,
            )


@contextmanager
def _lock() -> Iterator[None]:
    # Test processes start together and want the same contracts: one compiles, the others wait for its result.
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
