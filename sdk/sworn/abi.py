"""The contracts' ABIs: calls, return values, events, and custom errors as exception classes.

Nothing is read before it is asked for. ``sworn.abi.REVERTS`` maps the name of every custom error to its class::

    try:
        client.finalize(request_id)
    except sworn.abi.REVERTS["WindowOpen"] as error:
        print(error.arguments["closesAt"])
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from types import MappingProxyType
from typing import Any

from eth_abi.abi import encode as abi_encode
from eth_abi.codec import ABICodec
from eth_abi.decoding import StringDecoder
from eth_abi.exceptions import DecodingError, EncodingError, NoEntriesFound, ParseError
from eth_abi.registry import registry as eth_abi_registry
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from sworn.errors import CodecError, ConfigurationError, ContractRevert

#: ``Error(string)``, what ``require`` with a message and old contracts revert with.
ERROR_SELECTOR = keccak(text="Error(string)")[:4]
#: ``Panic(uint256)``, what the compiler's own checks revert with.
PANIC_SELECTOR = keccak(text="Panic(uint256)")[:4]
#: https://docs.soliditylang.org/en/latest/control-structures.html#panic-via-assert-and-error-via-require
PANIC_REASONS: Mapping[int, str] = MappingProxyType(
    {
        0x00: "generic compiler panic",
        0x01: "assertion failed",
        0x11: "arithmetic overflow or underflow",
        0x12: "division by zero",
        0x21: "value outside its enum",
        0x22: "storage byte array is incorrectly encoded",
        0x31: "pop on an empty array",
        0x32: "index out of bounds",
        0x41: "out of memory",
        0x51: "call of an uninitialised function",
    }
)

_Entry = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedEvent:
    """An event by name, with its arguments by their Solidity names (structs as tuples)."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """What one contract understands, and the bytecode that deploys it."""

    name: str
    #: Creation code without constructor arguments; empty for interfaces and abstract contracts.
    bytecode: bytes
    #: Length of the code that it leaves on chain, the last of ``bytecode``; 0 where that is not known.
    runtime_size: int
    functions: Mapping[str, _Entry]
    events: Mapping[str, _Entry]
    errors: Mapping[str, _Entry]
    constructor_inputs: tuple[_Entry, ...]

    def encode(self, function: str, *args: Any) -> bytes:
        """Calldata of a call. Raises `CodecError` when the arguments do not fit the function."""
        entry = self._entry(self.functions, function, kind="function")
        return _selector(entry) + _encode(entry["inputs"], args, what=f"{self.name}.{function}")

    def decode(self, function: str, data: bytes) -> Any:
        """The returned value, or a tuple of them when there are several; structs are tuples."""
        entry = self._entry(self.functions, function, kind="function")
        values = _decode(entry["outputs"], data, what=f"return data of {self.name}.{function}")
        return values[0] if len(values) == 1 else values

    def decode_call(self, data: bytes) -> tuple[str, tuple[Any, ...]]:
        """Name and arguments of a call from its calldata."""
        for name, entry in self.functions.items():
            if _selector(entry) == data[:4]:
                return name, _decode(entry["inputs"], data[4:], what=f"calldata of {self.name}.{name}")
        raise CodecError(f"{self.name} has no function with selector 0x{data[:4].hex()}")

    def selector(self, function: str) -> bytes:
        """The first four bytes of a call."""
        return _selector(self._entry(self.functions, function, kind="function"))

    def topic(self, event: str) -> bytes:
        """The first topic of an event."""
        return _hash(_signature(self._entry(self.events, event, kind="event")))

    def decode_log(self, topics: Sequence[bytes], data: bytes) -> DecodedEvent:
        """An event from its topics and data. Raises `CodecError` when it is none of this contract's."""
        for name, entry in self.events.items():
            if topics and _hash(_signature(entry)) == topics[0]:
                return DecodedEvent(name=name, arguments=_decode_event(entry, topics, data, what=f"{self.name}.{name}"))
        raise CodecError(f"{self.name} has no such event: topic 0x{topics[0].hex() if topics else ''}")

    def constructor(self, *args: Any) -> bytes:
        """Creation code with the constructor's arguments appended: the data of a deploying transaction."""
        if not self.bytecode:
            raise ConfigurationError(f"{self.name} has no bytecode: it cannot be deployed")
        return self.bytecode + _encode(self.constructor_inputs, args, what=f"constructor of {self.name}")

    def _entry(self, entries: Mapping[str, _Entry], name: str, *, kind: str) -> _Entry:
        try:
            return entries[name]
        except KeyError:
            raise ConfigurationError(f"{self.name} has no {kind} {name!r}") from None


@cache
def interface(name: str) -> Interface:
    """The interface of a contract by its Solidity name. Raises `ConfigurationError` when it is not among ``abi/``."""
    source = _directory() / f"{name}.json"
    if not source.is_file():
        raise ConfigurationError(f"no ABI of {name!r}; known are: {', '.join(names())}")
    return _parse(name, json.loads(source.read_text(encoding="utf-8")))


@cache
def names() -> tuple[str, ...]:
    """Every contract that has an ABI, sorted."""
    found = (entry.name for entry in _directory().iterdir())
    return tuple(sorted(name.removesuffix(".json") for name in found if name.endswith(".json")))


@cache
def reverts() -> Mapping[str, type[ContractRevert]]:
    """Every custom error of every contract by name, as an exception class."""
    classes: dict[str, type[ContractRevert]] = {}
    for entry in _errors().values():
        attributes = {"name": entry["name"], "selector": _selector(entry), "__module__": __name__}
        classes[entry["name"]] = type(entry["name"], (ContractRevert,), attributes)
    return MappingProxyType(classes)


def contract_error(data: bytes) -> ContractRevert:
    """The exception for a call's revert data: a class of `reverts` for a custom error, else a bare `ContractRevert`."""
    if not data:
        return ContractRevert("reverted without a reason")
    selector, tail = data[:4], data[4:]
    try:
        if selector == ERROR_SELECTOR:
            (reason,) = _codec().decode(["string"], tail)
            return ContractRevert(f"reverted: {reason}", data=data, arguments={"reason": reason})
        if selector == PANIC_SELECTOR:
            (code,) = _codec().decode(["uint256"], tail)
            reason = PANIC_REASONS.get(code, "unknown panic")
            return ContractRevert(f"panic 0x{code:02x}: {reason}", data=data, arguments={"code": code})
        entry = _errors().get(selector)
        if entry is not None:
            return _custom_error(entry, data)
    except (DecodingError, CodecError):
        return ContractRevert(f"reverted with malformed data 0x{data.hex()}", data=data)
    return ContractRevert(f"reverted with an unknown error 0x{data.hex()}", data=data)


def __getattr__(name: str) -> Any:
    if name == "REVERTS":
        return reverts()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@cache
def _directory() -> Traversable:
    packaged = files("sworn") / "_abi"
    if packaged.is_dir():
        return packaged
    # In a checkout the ABIs lie beside sdk/, not inside the package.
    checkout = Path(__file__).resolve().parents[2] / "abi"
    if checkout.is_dir():
        return checkout
    raise ConfigurationError(f"the contracts' ABIs are missing: neither {packaged} nor {checkout} exists")


@cache
def _errors() -> Mapping[bytes, _Entry]:
    found: dict[bytes, _Entry] = {}
    for name in names():
        for entry in interface(name).errors.values():
            found.setdefault(_selector(entry), entry)
    return MappingProxyType(found)


def _parse(name: str, document: Mapping[str, Any]) -> Interface:
    by_type: dict[str, dict[str, _Entry]] = {"function": {}, "event": {}, "error": {}}
    constructor_inputs: tuple[_Entry, ...] = ()
    for entry in document["abi"]:
        if entry["type"] == "constructor":
            constructor_inputs = tuple(entry["inputs"])
        elif entry["type"] in by_type:
            by_type[entry["type"]][entry["name"]] = entry
    return Interface(
        name=name,
        bytecode=bytes.fromhex(document.get("bytecode", "").removeprefix("0x")),
        runtime_size=document.get("runtimeSize", 0),
        functions=MappingProxyType(by_type["function"]),
        events=MappingProxyType(by_type["event"]),
        errors=MappingProxyType(by_type["error"]),
        constructor_inputs=constructor_inputs,
    )


def _custom_error(entry: _Entry, data: bytes) -> ContractRevert:
    values = _decode(entry["inputs"], data[4:], what=entry["name"])
    arguments = {item["name"]: value for item, value in zip(entry["inputs"], values, strict=True)}
    shown = ", ".join(f"{key}={_shown(value)}" for key, value in arguments.items())
    error = reverts()[entry["name"]](f"{entry['name']}({shown})", data=data, arguments=arguments)
    for key, value in arguments.items():
        if not hasattr(error, key):
            setattr(error, key, value)
    return error


def _shown(value: Any) -> str:
    return f"0x{value.hex()}" if isinstance(value, bytes) else str(value)


def _decode_event(entry: _Entry, topics: Sequence[bytes], data: bytes, *, what: str) -> Mapping[str, Any]:
    indexed = [item for item in entry["inputs"] if item["indexed"]]
    plain = [item for item in entry["inputs"] if not item["indexed"]]
    if len(indexed) != len(topics) - 1:
        raise CodecError(f"{what} has {len(indexed)} indexed arguments, the log has {len(topics) - 1}")
    values = dict(zip((item["name"] for item in plain), _decode(plain, data, what=what), strict=True))
    for item, topic in zip(indexed, topics[1:], strict=True):
        # The topic of a dynamic or composite argument is its hash: the value itself is not in the log.
        values[item["name"]] = _decode([item], topic, what=what)[0] if _is_word(item["type"]) else topic
    return MappingProxyType({item["name"]: values[item["name"]] for item in entry["inputs"]})


def _is_word(abi_type: str) -> bool:
    return abi_type not in ("string", "bytes", "tuple") and not abi_type.endswith("]")


@cache
def _hash(signature: str) -> bytes:
    return keccak(text=signature)


def _selector(entry: _Entry) -> bytes:
    return _hash(_signature(entry))[:4]


def _signature(entry: _Entry) -> str:
    return f"{entry['name']}({','.join(map(_type, entry['inputs']))})"


def _type(item: _Entry) -> str:
    if not item["type"].startswith("tuple"):
        return str(item["type"])
    return f"({','.join(map(_type, item['components']))}){item['type'].removeprefix('tuple')}"


def _encode(inputs: Sequence[_Entry], args: Sequence[Any], *, what: str) -> bytes:
    if len(inputs) != len(args):
        raise CodecError(f"{what} takes {len(inputs)} arguments, {len(args)} were given")
    try:
        return abi_encode([_type(item) for item in inputs], args)
    except (EncodingError, NoEntriesFound, ParseError, ValueError, TypeError) as error:
        raise CodecError(f"{what}: {error}") from error


@cache
def _codec() -> ABICodec:
    """Solidity checks no text: what strangers write into an event must not keep the rest of it from being read."""
    registry = eth_abi_registry.copy()  # type: ignore[no-untyped-call]
    registry.unregister_decoder("string")
    lenient = StringDecoder(handle_string_errors="backslashreplace")  # type: ignore[no-untyped-call]
    registry.register_decoder("string", lenient)
    return ABICodec(registry)


def _decode(outputs: Sequence[_Entry], data: bytes, *, what: str) -> tuple[Any, ...]:
    try:
        values = _codec().decode([_type(item) for item in outputs], data)
    except (DecodingError, OverflowError) as error:
        raise CodecError(f"{what}: {error}") from error
    return tuple(_normal(item, item["type"], value) for item, value in zip(outputs, values, strict=True))


def _normal(item: _Entry, abi_type: str, value: Any) -> Any:
    """Checksums addresses, at any depth."""
    if abi_type.endswith("]"):
        return tuple(_normal(item, abi_type[: abi_type.rindex("[")], element) for element in value)
    if abi_type == "tuple":
        components = item["components"]
        return tuple(_normal(part, part["type"], element) for part, element in zip(components, value, strict=True))
    return to_checksum_address(value) if abi_type == "address" else value
