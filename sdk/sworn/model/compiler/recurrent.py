"""LSTM, GRU and RNN, unrolled.

The products with the inputs are one contraction for all places of the sequence, those with the hidden state one per
place; W's biases belong to the former, R's to the latter. Everything else is a step of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from sworn.model.compiler.arithmetic import require_float
from sworn.model.compiler.contractions import product
from sworn.model.compiler.operators import Call, lowers
from sworn.model.compiler.steps import concatenated, pointwise
from sworn.model.compiler.values import Value, picked, sliced, transposed
from sworn.model.program import Function

_ACTIVATIONS: Mapping[str, Function] = MappingProxyType(
    {"Sigmoid": Function.SIGMOID, "Tanh": Function.TANH, "Relu": Function.RELU}
)
_DIRECTIONS: Mapping[str, tuple[bool, ...]] = MappingProxyType(
    {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
)
#: Places of a sequence: each takes a dozen steps.
MAX_PLACES = 4096
#: Attributes of activations that take none.
_UNUSED = ("activation_alpha", "activation_beta")

#: From the input products of one place and the states before to the states after; the hidden state comes first.
_Cell = Callable[[Value, tuple[Value, ...]], tuple[Value, ...]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Layer:
    """One direction of a recurrent layer."""

    call: Call
    hidden: int
    activations: tuple[Function, ...]
    clip: float | None
    #: [gates · hidden, inputs] and [gates · hidden, hidden].
    input_weights: Value
    state_weights: Value
    #: [gates · hidden] each, None where there are none.
    input_bias: Value | None
    state_bias: Value | None

    def add(self, left: Value, right: Value) -> Value:
        return pointwise(self.call.build, Function.ADD, left, right)

    def times(self, left: Value, right: Value) -> Value:
        return pointwise(self.call.build, Function.MUL, left, right)

    def one_minus(self, value: Value) -> Value:
        return pointwise(self.call.build, Function.SUB, self.call.build.scalar(1), value)

    def activated(self, number: int, value: Value) -> Value:
        """An activation function of a gate, which is clipped before."""
        if self.clip is not None:
            value = pointwise(self.call.build, Function.CLIP, value, alpha=-self.clip, beta=self.clip)
        return self.function(number, value)

    def function(self, number: int, value: Value) -> Value:
        """An activation function of a value as it is."""
        return pointwise(self.call.build, self.activations[number], value)

    def gates(self, value: Value, first: int, count: int = 1) -> Value:
        """Neighbouring gates of [batch, gates · hidden]."""
        return sliced(value, 1, start=first * self.hidden, count=count * self.hidden)

    def from_inputs(self, inputs: Value) -> Value:
        """[places, batch, gates · hidden]."""
        return product(self.call, inputs, transposed(self.input_weights, (1, 0)), bias=self.input_bias)

    def from_state(self, state: Value, first: int, count: int) -> Value:
        """[batch, count · hidden] for some of the gates."""
        start, size = first * self.hidden, count * self.hidden
        weights = transposed(sliced(self.state_weights, 0, start=start, count=size), (1, 0))
        bias = None if self.state_bias is None else sliced(self.state_bias, 0, start=start, count=size)
        return product(self.call, state, weights, bias=bias)


@lowers("RNN", 7, 14, 22, ignored=_UNUSED)
def rnn(call: Call) -> tuple[Value, Value]:
    """The hidden state becomes f(x·Wᵀ + h·Rᵀ)."""

    def cell_of(layer: _Layer, _: int) -> _Cell:
        def cell(place: Value, states: tuple[Value, ...]) -> tuple[Value, ...]:
            return (layer.activated(0, layer.add(place, layer.from_state(states[0], 0, 1))),)

        return cell

    every, last = _unrolled(call, cell_of, gates=1, defaults=("Tanh",), states=(5,))
    return every, last[0]


@lowers("GRU", 7, 14, 22, ignored=_UNUSED)
def gru(call: Call) -> tuple[Value, Value]:
    """z, r = f(…); n = g(…) with the reset gate before or after the product; h = (1 − z)·n + z·h."""
    reset_after = bool(call.integer("linear_before_reset", 0))

    def cell_of(layer: _Layer, _: int) -> _Cell:
        def cell(place: Value, states: tuple[Value, ...]) -> tuple[Value, ...]:
            before = states[0]
            known = layer.from_state(before, 0, 3 if reset_after else 2)
            both = layer.activated(0, layer.add(layer.gates(place, 0, 2), layer.gates(known, 0, 2)))
            update, reset = layer.gates(both, 0), layer.gates(both, 1)
            if reset_after:
                memory = layer.times(reset, layer.gates(known, 2))
            else:
                memory = layer.from_state(layer.times(reset, before), 2, 1)
            new = layer.activated(1, layer.add(layer.gates(place, 2), memory))
            return (layer.add(layer.times(layer.one_minus(update), new), layer.times(update, before)),)

        return cell

    every, last = _unrolled(call, cell_of, gates=3, defaults=("Sigmoid", "Tanh"), states=(5,))
    return every, last[0]


@lowers("LSTM", 7, 14, 22, ignored=_UNUSED)
def lstm(call: Call) -> tuple[Value, ...]:
    """Gates i, o, f = f(…); n = g(…); c = f·c + i·n; h = o·h(c), where c is not clipped.

    Peepholes add to i and f from c before, to o from c after.
    """
    coupled = bool(call.integer("input_forget", 0))
    peepholes = call.optional(7)

    def cell_of(layer: _Layer, direction: int) -> _Cell:
        holes = None if peepholes is None else picked(peepholes, 0, direction)

        def cell(place: Value, states: tuple[Value, ...]) -> tuple[Value, ...]:
            hidden, memory = states
            sums = layer.add(place, layer.from_state(hidden, 0, 4))
            enter, leave, forget = _lstm_gates(layer, sums, memory, holes, coupled=coupled)
            new = layer.activated(1, layer.gates(sums, 3))
            memory = layer.add(layer.times(forget, memory), layer.times(enter, new))
            if holes is not None:
                leave = layer.activated(0, _peeping(layer, leave, memory, holes, 1))
            return layer.times(leave, layer.function(2, memory)), memory

        return cell

    every, last = _unrolled(call, cell_of, gates=4, defaults=("Sigmoid", "Tanh", "Tanh"), states=(5, 6))
    return every, *last


def _lstm_gates(
    layer: _Layer, sums: Value, memory: Value, holes: Value | None, *, coupled: bool
) -> tuple[Value, Value, Value]:
    """Input, output and forget gate; with peepholes the output gate is still to be activated."""
    if holes is None:
        gates = layer.activated(0, layer.gates(sums, 0, 3))
        enter, leave, forget = (layer.gates(gates, k) for k in range(3))
    else:
        enter = layer.activated(0, _peeping(layer, layer.gates(sums, 0), memory, holes, 0))
        leave = layer.gates(sums, 1)
        forget = layer.activated(0, _peeping(layer, layer.gates(sums, 2), memory, holes, 2))
    return enter, leave, layer.one_minus(enter) if coupled else forget


def _peeping(layer: _Layer, gate: Value, memory: Value, holes: Value, number: int) -> Value:
    part = sliced(holes, 0, start=number * layer.hidden, count=layer.hidden)
    return layer.add(gate, layer.times(part, memory))


def _unrolled(
    call: Call,
    cell_of: Callable[[_Layer, int], _Cell],
    *,
    gates: int,
    defaults: tuple[str, ...],
    states: tuple[int, ...],
) -> tuple[Value, tuple[Value, ...]]:
    """Hidden states [places, directions, batch, hidden] and last states [directions, batch, hidden].

    Layout 1 moves the batch to the front of everything. ``states`` are the positions of initial states among inputs.
    """
    batch_first = bool(call.integer("layout", 0))
    inputs = _swapped(call.value(0), batch_first=batch_first)
    backwards = _checked(call, inputs, gates=gates)
    places, batch = inputs.shape[:2]
    outputs: list[list[Value]] = [[] for _ in range(places)]
    ends: list[list[Value]] = [[] for _ in states]
    for direction, is_backward in enumerate(backwards):
        layer = _layer(call, direction, len(backwards), defaults)
        cell, products = cell_of(layer, direction), layer.from_inputs(inputs)
        held = tuple(_initial(call, position, direction, (batch, layer.hidden)) for position in states)
        for place in reversed(range(places)) if is_backward else range(places):
            held = cell(picked(products, 0, place), held)
            outputs[place].append(held[0])
        for end, state in zip(ends, held, strict=True):
            end.append(state)
    every = _stacked(call, [value for place in outputs for value in place])
    every = call.build.reshaped(every, (places, len(backwards), *every.shape[1:]))
    last = tuple(_swapped(_stacked(call, end), batch_first=batch_first) for end in ends)
    return transposed(every, (2, 0, 1, 3)) if batch_first else every, last


def _swapped(value: Value, *, batch_first: bool) -> Value:
    """With the batch as first of three axes where it is the second, and the reverse."""
    return transposed(value, (1, 0, 2)) if batch_first and value.rank == 3 else value


def _checked(call: Call, inputs: Value, *, gates: int) -> tuple[bool, ...]:
    """Which directions there are, backwards or not. Refuses shapes and options that do not fit."""
    for position in (0, 1, 2, 3, 5, 6, 7):
        value = call.optional(position)
        if value is not None:
            require_float(call, value)
    direction, hidden = call.text("direction", "forward"), (0, *call.value(2).shape)[-1]
    batch_first = bool(call.integer("layout", 0))
    if direction not in _DIRECTIONS:
        raise call.refused(f"direction {direction!r} is unknown")
    count = len(_DIRECTIONS[direction])
    if inputs.rank != 3 or call.integer("hidden_size", hidden) != hidden:
        raise call.refused(f"inputs of shape {inputs.shape}, or the hidden size, do not fit")
    expected: dict[int, tuple[int, ...]] = {
        1: (count, gates * hidden, inputs.shape[2]),
        2: (count, gates * hidden, hidden),
    }
    expected[3] = (count, 2 * gates * hidden)
    expected[5] = expected[6] = (count, inputs.shape[1], hidden)
    expected[7] = (count, 3 * hidden)
    for position, shape in expected.items():
        value = call.optional(position)
        states = position in (5, 6)
        if value is not None and _swapped(value, batch_first=batch_first and states).shape != shape:
            raise call.refused(f"input {position} has shape {value.shape}, not {shape}")
    if inputs.shape[0] > MAX_PLACES:
        raise call.refused(f"a sequence of {inputs.shape[0]} places; {MAX_PLACES} are possible")
    lengths = call.integers_at(4, "the lengths of the sequences")
    if lengths is not None and set(lengths) != {inputs.shape[0]}:
        raise call.refused(f"sequences shorter than {inputs.shape[0]} are not supported")
    return _DIRECTIONS[direction]


def _layer(call: Call, direction: int, directions: int, defaults: tuple[str, ...]) -> _Layer:
    names = call.texts("activations", defaults * directions)
    if len(names) != len(defaults) * directions:
        raise call.refused(f"{len(names)} activations, not {len(defaults) * directions}")
    own = names[direction * len(defaults) : (direction + 1) * len(defaults)]
    unknown = [name for name in own if name not in _ACTIVATIONS]
    if unknown:
        raise call.refused(f"activation {unknown[0]} is not supported")
    both = call.optional(3)
    biases = None if both is None else picked(both, 0, direction)
    half = 0 if biases is None else biases.shape[0] // 2
    weights = picked(call.value(1), 0, direction), picked(call.value(2), 0, direction)
    clip = call.number("clip") if call.has("clip") else None
    if clip is not None and not clip > 0:
        raise call.refused(f"clip {clip} is not positive")
    return _Layer(
        call=call,
        hidden=weights[1].shape[1],
        activations=tuple(_ACTIVATIONS[name] for name in own),
        clip=clip,
        input_weights=weights[0],
        state_weights=weights[1],
        input_bias=None if biases is None else sliced(biases, 0, start=0, count=half),
        state_bias=None if biases is None else sliced(biases, 0, start=half, count=half),
    )


def _initial(call: Call, position: int, direction: int, shape: tuple[int, int]) -> Value:
    given = call.optional(position)
    if given is None:
        return call.build.constant(np.zeros(shape, np.float32))
    return picked(_swapped(given, batch_first=bool(call.integer("layout", 0))), 0, direction)


def _stacked(call: Call, values: Sequence[Value]) -> Value:
    """Matrices along a new first axis."""
    wide = [value.view((1, *value.shape), (0, *value.strides)) for value in values]
    return wide[0] if len(wide) == 1 else concatenated(call.build, wide, axis=0)
