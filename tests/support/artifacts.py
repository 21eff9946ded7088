"""Compiled contracts, the product's and the tests' own, and what their errors and events mean."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from eth_abi.abi import decode as abi_decode
from eth_utils.crypto import keccak

from solidity import Artifact, compile_sources, contract_sources
from sworn.abi import Interface, _parse, _selector

_DOUBLES = Path(__file__).resolve().parents[1] / "contracts"
_PANIC = keccak(text="Panic(uint256)")[:4]


@cache
def artifacts() -> Mapping[str, Artifact]:
    """Every contract by name."""
    # Two runs, so that the first is the one that `scripts/build_abi.py` has cached.
    return compile_sources(contract_sources()) | compile_sources(sorted(_DOUBLES.glob("*.sol")))


@cache
def interface(name: str) -> Interface:
    """A contract's interface and creation code, as compiled from the present sources."""
    artifact = artifacts()[name]
    return _parse(name, {"abi": artifact.abi, "bytecode": artifact.bytecode})


class Reverted(Exception):
    """A call reverted. ``name`` is that of the custom error, "Panic", or empty when there was no or unknown data."""

    def __init__(self, name: str, arguments: Mapping[str, Any], *, data: bytes) -> None:
        shown = ", ".join(
            f"{key}={value.hex() if isinstance(value, bytes) else value}" for key, value in arguments.items()
        )
        super().__init__(f"{name}({shown})" if name else f"unknown revert data 0x{data.hex()}")
        self.name = name
        self.arguments = arguments


def decode_revert(data: bytes) -> Reverted:
    """The error behind revert data; any contract's, since reverts pass through."""
    if data[:4] == _PANIC:
        return Reverted("Panic", {"code": abi_decode(["uint256"], data[4:])[0]}, data=data)
    entry = _errors().get(data[:4])
    if entry is None:
        return Reverted("", {}, data=data)
    values = abi_decode([item["type"] for item in entry["inputs"]], data[4:])
    names = [item["name"] for item in entry["inputs"]]
    return Reverted(entry["name"], dict(zip(names, values, strict=True)), data=data)


def error_names(contract: str) -> frozenset[str]:
    """Names of the custom errors that a contract or interface declares."""
    return frozenset(interface(contract).errors)


@cache
def _errors() -> Mapping[bytes, Mapping[str, Any]]:
    return {_selector(entry): entry for name in artifacts() for entry in interface(name).errors.values()}
