"""What a lowering is, and what it is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isnan
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from sworn.errors import ModelUnsupported
from sworn.model.compiler.builder import Builder
from sworn.model.compiler.graph import Node, decoded
from sworn.model.compiler.values import Value

#: A node's outputs; None for one that cannot be given (refused when something reads it).
Result = Value | tuple[Value | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Call:
    """One node with its inputs, and the builder to write steps with."""

    node: Node
    values: tuple[Value | None, ...]
    build: Builder
    #: How often each value of the graph is read.
    readers: Mapping[str, int]
    #: Calls by the names of their outputs.
    earlier: Mapping[str, Call]
    #: What lowers the node.
    lowering: Lowering
    #: Names of the attributes that the lowering has asked for; it must ask for all that the node gives.
    asked: set[str] = field(default_factory=set)

    @property
    def operator(self) -> str:
        """Name of the operator."""
        return self.node.operator

    @property
    def version(self) -> int:
        """Version of the operator."""
        return self.node.version

    def refused(self, reason: str) -> ModelUnsupported:
        """The error to raise for what cannot be lowered."""
        return ModelUnsupported(f"{self.node.label}: {reason}")

    def value(self, position: int) -> Value:
        """A required input."""
        value = self.optional(position)
        if value is None:
            raise self.refused(f"input {position} is missing")
        return value

    def optional(self, position: int) -> Value | None:
        """An input, None where it is left out."""
        return self.values[position] if position < len(self.values) else None

    def present(self) -> tuple[Value, ...]:
        """All inputs of a variadic operator."""
        return tuple(self.value(position) for position in range(len(self.values)))

    def array(self, position: int, what: str) -> npt.NDArray[Any] | None:
        """An input that must be constant, None where it is left out."""
        value = self.optional(position)
        if value is None:
            return None
        array = self.build.array(value)
        if array is None:
            raise self.refused(f"{what} must be constant; it depends on the model's inputs")
        return array

    def integers_at(self, position: int, what: str) -> tuple[int, ...] | None:
        """An integer input that must be constant, flattened; None where it is left out."""
        array = self.array(position, what)
        return None if array is None else tuple(int(item) for item in array.reshape(-1))

    def wanted(self, position: int) -> bool:
        """Whether an output is named and read."""
        outputs = self.node.outputs
        return position < len(outputs) and bool(outputs[position]) and outputs[position] in self.readers

    def sole_source(self, position: int) -> Call | None:
        """The call that makes an input, if nothing else reads what it makes."""
        name = self.node.inputs[position] if position < len(self.node.inputs) else ""
        return self.earlier.get(name) if self.readers.get(name) == 1 else None

    def has(self, name: str) -> bool:
        """Whether an attribute is given."""
        self.asked.add(name)
        return name in self.node.attributes

    def integer(self, name: str, default: int | None = None) -> int:
        """An integer attribute."""
        value = self._attribute(name, default)
        if not isinstance(value, int):
            raise self.refused(f"attribute {name} is not an integer")
        return value

    def number(self, name: str, default: float | None = None) -> float:
        """A float32 attribute; a default is rounded to float32."""
        value = self._attribute(name, default)
        if not isinstance(value, float | int):
            raise self.refused(f"attribute {name} is not a number")
        if isnan(value):
            raise self.refused(f"attribute {name} is NaN")
        with np.errstate(over="ignore"):
            return float(np.float32(value))

    def text(self, name: str, default: str | None = None) -> str:
        """A text attribute."""
        value = self._attribute(name, default)
        if not isinstance(value, str):
            raise self.refused(f"attribute {name} is not a text")
        return value

    def integers(self, name: str, default: tuple[int, ...] | None = None) -> tuple[int, ...]:
        """An attribute that lists integers."""
        return tuple(int(item) for item in self._list(name, default))

    def numbers(self, name: str, default: tuple[float, ...] | None = None) -> tuple[float, ...]:
        """An attribute that lists float32 numbers."""
        return tuple(float(np.float32(item)) for item in self._list(name, default))

    def texts(self, name: str, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """An attribute that lists texts."""
        return tuple(str(item) for item in self._list(name, default))

    def tensor(self, name: str) -> npt.NDArray[Any]:
        """A tensor attribute."""
        value = self._attribute(name, None)
        if not isinstance(value, onnx.TensorProto):
            raise self.refused(f"attribute {name} is not a dense tensor")
        return decoded(value)

    def axis(self, axis: int, rank: int) -> int:
        """An axis counted from the front."""
        if not -rank <= axis < rank:
            raise self.refused(f"axis {axis} is not in a tensor of rank {rank}")
        return axis % rank

    def axes(self, axes: tuple[int, ...], rank: int) -> tuple[int, ...]:
        """Axes counted from the front, in the given order."""
        result = tuple(self.axis(axis, rank) for axis in axes)
        if len(set(result)) != len(result):
            raise self.refused("an axis is named twice")
        return result

    def _attribute(self, name: str, default: Any) -> Any:
        self.asked.add(name)
        value = self.node.attributes.get(name, default)
        if value is None:
            raise self.refused(f"attribute {name} is missing")
        return value

    def _list(self, name: str, default: Any) -> tuple[Any, ...]:
        value = self._attribute(name, default)
        if not isinstance(value, tuple):
            raise self.refused(f"attribute {name} is not a list")
        return value


Function = Callable[[Call], Result]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lowering:
    """A function that lowers operators: (domain, name, version) each."""

    function: Function
    serves: tuple[tuple[str, str, int], ...]
    #: Attributes that change nothing here.
    ignored: frozenset[str] = frozenset()

    def __call__(self, call: Call) -> Result:
        return self.function(call)


def lowers(
    name: str, *versions: int, domain: str = "", ignored: tuple[str, ...] = ()
) -> Callable[[Function | Lowering], Lowering]:
    """Marks a function as the lowering of an operator in the given versions; may be stacked.

    A version is the operator set in which the operator was last changed. All versions up to the newest must be listed
    one by one: a version that nobody has read is refused. So is a node with an attribute that the lowering does not ask
    for, unless it is named in ``ignored``.
    """
    new = tuple((domain, name, version) for version in versions)

    def mark(function: Function | Lowering) -> Lowering:
        if isinstance(function, Lowering):
            serves, skipped = (*new, *function.serves), function.ignored | set(ignored)
            return Lowering(function=function.function, serves=serves, ignored=skipped)
        return Lowering(function=function, serves=new, ignored=frozenset(ignored))

    return mark
