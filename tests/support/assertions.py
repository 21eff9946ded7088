"""The only ways in which tests assert reverts and events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tests.support.artifacts import Reverted
from tests.support.chain import Event, TransactionReceipt, to_abi


@contextmanager
def reverts(name: str, **arguments: Any) -> Iterator[None]:
    """Fails unless the block reverts with that custom error; names its arguments in snake case, not necessarily all.

    ``"Panic"`` stands for the compiler's own checks, an empty name for a revert without data.
    """
    caught: Reverted | None = None
    try:
        yield
    except Reverted as error:
        caught = error
    assert caught is not None, f"expected {name or 'a bare revert'}, but nothing reverted"
    assert caught.name == name, f"expected {name or 'a bare revert'}, got {caught}"
    _assert_equal(caught.arguments, arguments, what=name)


def assert_emitted(receipt: TransactionReceipt, name: str, **arguments: Any) -> Event:
    """The one event of that name in the transaction; names its arguments in snake case, not necessarily all."""
    found = [event for event in receipt.events if event.name == name]
    assert len(found) == 1, f"expected one {name}, got {[event.name for event in receipt.events]}"
    _assert_equal(found[0].arguments, arguments, what=name)
    return found[0]


def assert_silent(receipt: TransactionReceipt, *names: str) -> None:
    """Fails if the transaction emitted any of these events; without names, any event at all."""
    emitted = [event.name for event in receipt.events if not names or event.name in names]
    assert not emitted, f"expected silence, got {emitted}"


def _assert_equal(actual: Mapping[str, Any], expected: Mapping[str, Any], *, what: str) -> None:
    for key, value in expected.items():
        first, *rest = key.split("_")
        field = first + "".join(part.capitalize() for part in rest)
        assert field in actual, f"{what} has no {field}, only {list(actual)}"
        wanted, got = to_abi(value), actual[field]
        if isinstance(got, str) and isinstance(wanted, str):
            wanted, got = wanted.lower(), got.lower()
        assert got == wanted, f"{what}.{field}: expected {_shown(wanted)}, got {_shown(got)}"


def _shown(value: Any) -> Any:
    return f"0x{value.hex()}" if isinstance(value, bytes) else value
