from __future__ import annotations

import json
import re
from dataclasses import fields
from enum import IntEnum
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from eth_utils.crypto import keccak

from sworn import abi, types

ROOT = Path(__file__).resolve().parent.parent
CONTRACTS = ROOT / "contracts"
SOURCES = sorted(CONTRACTS.rglob("*.sol"))
ARTIFACTS = sorted((ROOT / "abi").glob("*.json"))
STANDARD_INPUT = ROOT / "abi" / "standard-json" / "input.json"

#: EIP-170.
MAX_RUNTIME_BYTES = 24_576
MAX_CORE_LINES = 600
MAX_LIBRARY_LINES = 200

#: Python enums without a twin, with the reason.
PYTHON_ONLY_ENUMS = MappingProxyType({"DType": "Solidity handles element types as the bytes of the encoding"})
#: Python records without a twin, with the reason.
PYTHON_ONLY_RECORDS = MappingProxyType(
    {
        "Deployment": "describes contracts from outside",
        "Schema": "hashed in Python only",
        "TensorSpec": "hashed in Python only",
    }
)
#: Records and fields to whose names Python adds a word that says what they are.
RENAMED = MappingProxyType({"ChallengerState": "Challenger", "committed_in": "committed_in_block"})
#: Structs whose fields stand in Python among those of what holds them: storage packs them, nobody else does.
FLATTENED = frozenset({"Opening"})


@cache
def artifact(path: Path) -> dict[str, Any]:
    """One file of ``abi/``."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


@cache
def code(path: Path) -> str:
    """Solidity without its comments."""
    return re.sub(r"//[^\n]*|/\*.*?\*/", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)


def relative(path: Path) -> str:
    """A path from the repository root, with forward slashes."""
    return path.relative_to(ROOT).as_posix()


def blocks(keyword: str) -> dict[str, str]:
    """Bodies of the enums or structs in ``contracts/types``, by name."""
    text = "\n".join(code(path) for path in sorted((CONTRACTS / "types").glob("*.sol")))
    return dict(re.findall(rf"^{keyword}\s+(\w+)\s*\{{(.*?)\}}", text, flags=re.MULTILINE | re.DOTALL))


def struct_fields(name: str) -> list[str]:
    """Fields of a struct in ``contracts/types`` by their Python names."""
    found: list[str] = []
    for kind, field in re.findall(r"(\w+)(?:\[\])?\s+(\w+)\s*;", blocks("struct")[name]):
        found += struct_fields(kind) if kind in FLATTENED else [RENAMED.get(snake(field), snake(field))]
    return found


def snake(camel: str) -> str:
    """``maxWindowSeconds`` as ``max_window_s``: units are spelt out in Solidity and abbreviated in Python."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", camel).lower().replace("_seconds", "_s")


def error_signatures() -> dict[str, set[str]]:
    """Signatures of the custom errors in ``abi/``, by name."""
    found: dict[str, set[str]] = {}
    for path in ARTIFACTS:
        for entry in artifact(path)["abi"]:
            if entry["type"] == "error":
                signature = f"{entry['name']}({','.join(item['type'] for item in entry['inputs'])})"
                found.setdefault(entry["name"], set()).add(signature)
    return found


def test_abi_files_with_their_contracts_are_complete() -> None:
    """Every contract, interface and library with errors has its file, every file its source and all its fields."""
    pattern = re.compile(r"^(contract|interface|library)\s+(\w+)(.*?)^\}", flags=re.MULTILINE | re.DOTALL)
    declared = {
        name: relative(path)
        for path in SOURCES
        for kind, name, body in pattern.findall(code(path))
        if kind != "library" or re.search(r"^\s*error\s", body, flags=re.MULTILINE)
    }
    assert {path.stem: artifact(path)["sourceName"] for path in ARTIFACTS} == declared
    needed = {"abi", "bytecode", "compiler", "contractName", "runtimeSize", "sourceName"}
    assert all(artifact(path).keys() == needed for path in ARTIFACTS)


def test_abi_files_against_sources_are_not_stale() -> None:
    """The sources that were compiled are the sources that lie here; if not, run scripts/build_abi.py."""
    compiled = {name: s["content"] for name, s in artifact(STANDARD_INPUT)["sources"].items() if name[0] != "@"}
    assert compiled == {relative(path): path.read_text(encoding="utf-8") for path in SOURCES}


def test_abi_bytecode_of_every_contract_fits_the_limit() -> None:
    """Nothing is too large to deploy."""
    assert not [path.stem for path in ARTIFACTS if artifact(path)["runtimeSize"] >= MAX_RUNTIME_BYTES]


def test_custom_errors_by_name_have_one_signature() -> None:
    """An error name means one thing, so that one exception class can stand for it."""
    assert not {name: found for name, found in error_signatures().items() if len(found) > 1}


def test_custom_errors_and_exception_classes_match_both_ways() -> None:
    """Every custom error has its class with its selector, and no class is without an error."""
    expected = {name: keccak(text=next(iter(found)))[:4] for name, found in error_signatures().items()}
    assert {name: cls.selector for name, cls in abi.REVERTS.items()} == expected
    assert {name: cls.name for name, cls in abi.REVERTS.items()} == {name: name for name in expected}


def test_exception_classes_and_declared_errors_match_both_ways() -> None:
    """What the sources declare has a class, and every class has a declaration in our sources or OpenZeppelin's."""
    pattern = re.compile(r"^\s*error\s+(\w+)\s*\(", flags=re.MULTILINE)
    everything = "\n".join(source["content"] for source in artifact(STANDARD_INPUT)["sources"].values())
    ours = {name for path in SOURCES for name in pattern.findall(code(path))}
    assert ours <= abi.REVERTS.keys() <= set(pattern.findall(everything))


def test_exception_classes_of_contracts_are_never_written_by_hand() -> None:
    """Contract errors come from the ABI alone."""
    files = sorted((ROOT / "sdk").rglob("*.py"))
    assert not [relative(p) for p in files if re.search(r"^class \w+\(.*ContractRevert", p.read_text("utf-8"), re.M)]


def test_enums_in_both_languages_have_the_same_members_in_order() -> None:
    """A number means the same in Solidity and in Python."""
    python = {n: [m.name for m in e] for n, e in vars(types).items() if isinstance(e, type) and issubclass(e, IntEnum)}
    solidity = {name: [snake(m.strip()).upper() for m in body.split(",")] for name, body in blocks("enum").items()}
    assert {
        name: members for name, members in python.items() if name not in PYTHON_ONLY_ENUMS and name != "IntEnum"
    } == (solidity)
    for name in solidity:
        assert [member.value for member in getattr(types, name)] == list(range(len(solidity[name])))


def test_records_in_both_languages_have_the_same_fields_in_order() -> None:
    """A Python record is the Solidity struct of its name, field for field."""
    records = {n: r for n, r in vars(types).items() if hasattr(r, "__dataclass_fields__")}
    for name in records.keys() - PYTHON_ONLY_RECORDS.keys():
        assert [field.name for field in fields(records[name])] == struct_fields(RENAMED.get(name, name)), name


def test_solidity_files_by_length_stay_within_limits() -> None:
    """Core contracts read in one sitting; libraries in one glance."""
    core = {path for path in SOURCES if path.parent == CONTRACTS}
    small = {path for path in SOURCES if path.parent.name in {"libraries", "referee", "types"}}
    limits = dict.fromkeys(core, MAX_CORE_LINES) | dict.fromkeys(small, MAX_LIBRARY_LINES)
    assert not [relative(p) for p, limit in limits.items() if len(p.read_text("utf-8").splitlines()) > limit]


@pytest.mark.parametrize(
    ("rule", "pattern"),
    [
        pytest.param(
            "errors are custom errors", r"\b(require|revert)\s*\((?!\s*\))|\brevert\s*;", id="no_string_reverts"
        ),
        pytest.param("imports name what they take", r"^\s*import\s+(?!\{)", id="named_imports"),
        pytest.param(
            "no prefixes or leading underscores on names",
            r"\b[si]_\w+|[(,]\s*\w+\s+(memory |calldata )?_\w+\s*[,)]",
            id="names",
        ),
        pytest.param("tx.origin identifies nobody", r"\btx\.origin\b", id="no_tx_origin"),
    ],
)
def test_solidity_code_in_every_file_keeps_the_rule(rule: str, pattern: str) -> None:
    """A pattern that breaks a rule of the house occurs in no source."""
    wrong = [
        f"{relative(path)}: {match.group(0).strip()}"
        for path in SOURCES
        for match in re.finditer(pattern, code(path), flags=re.MULTILINE)
    ]
    assert not wrong, rule


def test_solidity_comments_on_errors_and_events_say_when() -> None:
    """Every error says when it is thrown, every event when it is emitted."""
    wrong = []
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        for documentation, kind, name in re.findall(r"((?:^ *///[^\n]*\n)*)^ *(error|event) (\w+)", text, re.MULTILINE):
            if not re.match(r" */// @notice (Thrown|Emitted) when ", documentation):
                wrong.append(f"{relative(path)}: {kind} {name}")
    assert not wrong


def test_solidity_files_by_header_state_licence_and_language() -> None:
    """Licence first, then the compiler: the pinned one, or a range for what others vendor."""
    header = re.compile(r"// SPDX-License-Identifier: MIT\npragma solidity (\^0\.8\.28|0\.8\.\d+);\n")
    assert not [relative(path) for path in SOURCES if not header.match(path.read_text(encoding="utf-8"))]


def test_compiler_pin_in_every_tool_is_the_same() -> None:
    """npm, forge and the build agree on compiler and settings."""
    package = json.loads((ROOT / "package.json").read_text(encoding="utf-8"))
    foundry = (ROOT / "foundry.toml").read_text(encoding="utf-8")
    for path in ARTIFACTS:
        compiler = artifact(path)["compiler"]
        version = compiler["version"].partition("+")[0]
        assert package["devDependencies"]["solc"] == version
        assert f'solc = "{version}"' in foundry
        assert f'evm_version = "{compiler["evmVersion"]}"' in foundry
        assert int(re.findall(r"optimizer_runs = (\S+)", foundry)[0]) == compiler["optimizerRuns"]
