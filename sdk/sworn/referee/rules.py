"""The rules of a program, one referee each: the bits that an element of a step must have.

The definitions are in `docs/arithmetic.md`.
"""

from __future__ import annotations

from math import prod

from sworn.errors import ConfigurationError, IndexOutOfRange, ModelMalformed
from sworn.model.program import (
    Contract,
    Copy,
    Extremum,
    Function,
    Lookup,
    Piece,
    Pointwise,
    Program,
    Rank,
    Space,
    Step,
    TensorType,
    Tree,
)
from sworn.referee import functions, integers
from sworn.referee.contraction import contract
from sworn.referee.elements import Element, Read, TypeOf
from sworn.types import DType

#: int32 per inner node: feature, mode, threshold bits, first leaf, first leaf of the false side, end of leaves.
NODE_WORDS = 6
#: int32 per tree: its first node, and how many.
ROOT_WORDS = 2


def element(program: Program, step_number: int, index: int, read: Read) -> int:
    """The bits of the element at a flat index that a step must have written.

    ``read(space, tensor, flat index)`` gives the bits of an element, right-aligned. Raises `RunNotFinite`,
    `DivisionByZero`, `CastOutOfRange` or `IndexOutOfRange` where the element has no value, `ModelMalformed` for a step
    that contradicts itself, `ConfigurationError` for a step or an element that does not exist.
    """
    if not 0 <= step_number < len(program.steps):
        raise ConfigurationError(f"step {step_number} of {len(program.steps)} does not exist")

    def type_of(space: Space, tensor: int) -> TensorType:
        known = len(program.inputs) + step_number if space is Space.VALUE else len(program.weights)
        if not 0 <= tensor < known:
            raise ModelMalformed(f"step {step_number} reads {space.name.lower()} {tensor}, which is not before it")
        return program.value(tensor) if space is Space.VALUE else program.weights[tensor]

    return step_element(program.steps[step_number], type_of, index, read)


def step_element(step: Step, type_of: TypeOf, index: int, read: Read) -> int:
    """As `element`, for a step that is known apart from its program. Only sizes of operands count, not shapes."""
    place = place_of(step, type_of, index, read)
    match step.body:
        case Copy() as body:
            return _copy(place, body)
        case Contract() as body:
            return contract(place, body)
        case Pointwise() as body:
            return functions.apply(call_of(place, body))
        case Lookup() as body:
            return _lookup(place, body)
        case Extremum() as body:
            return _extremum(place, body)
        case Rank() as body:
            return _rank(place, body)
        case Tree() as body:
            return _tree(place, body)


def place_of(step: Step, type_of: TypeOf, index: int, read: Read) -> Element:
    """The element of a step at a flat index. Raises `ModelMalformed` and `ConfigurationError` as `element` does."""
    if prod(step.axes) != step.output.elements:
        raise ModelMalformed(f"axes {step.axes} do not have {step.output.elements} elements")
    if not 0 <= index < step.output.elements:
        raise ConfigurationError(f"element {index} of {step.output.elements} does not exist")
    return Element(step=step, index=_unravel(index, step.axes), type_of=type_of, read=read)


def _unravel(index: int, extents: tuple[int, ...]) -> tuple[int, ...]:
    """The coordinates of a flat row-major index."""
    coordinates = []
    for extent in reversed(extents):
        index, coordinate = divmod(index, extent)
        coordinates.append(coordinate)
    return tuple(reversed(coordinates))


def _copy(place: Element, body: Copy) -> int:
    output = place.step.output.dtype
    for piece in body.pieces:
        inner = _inside(place.index, piece)
        if inner is None:
            continue
        source = piece.source
        if place.dtype(source) is not output:
            raise ModelMalformed(f"a copy turns {place.dtype(source).name} into {output.name}")
        (bits,) = place.gather(source.space, source.tensor, [place.base(source, inner)])
        return functions.canonical(bits, output)
    return functions.canonical(body.fill, output)


def _inside(index: tuple[int, ...], piece: Piece) -> tuple[int, ...] | None:
    """The index within a piece's box; None outside of it."""
    if not len(index) == len(piece.starts) == len(piece.stops) == len(piece.every) or min(piece.every, default=1) < 1:
        raise ModelMalformed(f"a piece's box has other axes than the {len(index)} of its step, or steps below 1")
    inner = []
    for coordinate, start, stop, every in zip(index, piece.starts, piece.stops, piece.every, strict=True):
        if not start <= coordinate < stop or (coordinate - start) % every:
            return None
        inner.append((coordinate - start) // every)
    return tuple(inner)


def call_of(place: Element, body: Pointwise) -> functions.Call:
    """The function that an element is, with its operands."""
    return functions.Call(
        function=body.function,
        operands=tuple(place.bits(operand) for operand in body.operands),
        dtypes=tuple(place.dtype(operand) for operand in body.operands),
        output=place.step.output.dtype,
        alpha=body.alpha,
        beta=body.beta,
    )


def _lookup(place: Element, body: Lookup) -> int:
    if place.dtype(body.source) is not place.step.output.dtype:
        raise ModelMalformed("a lookup changes the element type")
    if len(body.extents) != len(body.strides):
        raise ModelMalformed(f"a lookup has {len(body.strides)} strides for {len(body.extents)} extents")
    size = prod(body.extents)
    given = integers.decode(place.bits(body.index), place.dtype(body.index))
    number = given + size if given < 0 else given
    if not 0 <= number < size:
        raise IndexOutOfRange(f"index {given} points outside of {size} elements")
    displacement = sum(map(int.__mul__, body.strides, _unravel(number, body.extents)))
    # An index may point at the padding of a window, where the table has no element.
    if not 0 <= place.base(body.source) + displacement < place.type_of(body.source.space, body.source.tensor).elements:
        raise IndexOutOfRange(f"index {given} points outside of the tensor")
    return functions.canonical(place.bits(body.source, displacement), place.step.output.dtype)


def _extremum(place: Element, body: Extremum) -> int:
    _require_output(place, DType.INT64)
    terms = place.window(body.reductions)
    if not terms:
        raise ModelMalformed("no element counts in a window")
    source, dtype = body.source, place.dtype(body.source)
    base = place.base(source)
    row = place.gather(source.space, source.tensor, [base + term[1] for term in terms])
    keys = [functions.order_key(bits, dtype) for bits in row]
    # `index` finds the first.
    return terms[keys.index(max(keys) if body.largest else min(keys))][0]


def _rank(place: Element, body: Rank) -> int:
    _require_output(place, DType.INT64)
    source, dtype = body.source, place.dtype(body.source)
    base = place.base(source)
    row = place.gather(source.space, source.tensor, [base + j * body.stride for j in range(body.extent)])
    keys = [functions.order_key(bits, dtype) for bits in row]
    position = place.coordinate(body.axis)
    if position >= body.extent:
        raise ModelMalformed(f"position {position} of a row of {body.extent}")
    # Sorting is stable: earlier elements stay first among equals, in either direction.
    return sorted(range(body.extent), key=[-key for key in keys].__getitem__ if body.largest else keys.__getitem__)[
        position
    ]


def _tree(place: Element, body: Tree) -> int:
    _require_output(place, DType.INT32)
    tree = place.coordinate(body.tree_axis)
    node, count = _words(place, body.roots, tree, ROOT_WORDS)
    if place.dtype(body.features) is not DType.FLOAT32:
        raise ModelMalformed("a tree's features are not float32")
    if count == 0:
        return 0
    while True:
        feature, mode, threshold, first, middle, end = _words(place, body.nodes, node, NODE_WORDS)
        if feature < 0 or not first < middle < end:
            raise ModelMalformed(f"node {node} of tree {tree} contradicts itself")
        value = functions.order_key(place.bits(body.features, feature * body.feature_stride), DType.FLOAT32)
        bound = functions.order_key(integers.wrap(threshold, DType.INT32), DType.FLOAT32)
        # A side of n leaves has n − 1 inner nodes, and they follow in preorder: first the true side's.
        if _holds(mode, value, bound):
            if middle == first + 1:
                return first
            node += 1
        else:
            if end == middle + 1:
                return middle
            node += middle - first


def _holds(mode: int, value: int, bound: int) -> bool:
    if mode == Function.NOT:
        return value != bound
    if mode not in set(Function):
        raise ModelMalformed(f"{mode} is no comparison")
    return functions.compare(Function(mode), value, bound)


def _words(place: Element, weight: int, row: int, words: int) -> list[int]:
    """A row of an int32 weight tensor."""
    if place.type_of(Space.WEIGHT, weight).dtype is not DType.INT32:
        raise ModelMalformed("a tree's tables are not int32")
    bits = place.gather(Space.WEIGHT, weight, range(row * words, row * words + words))
    return [integers.decode(word, DType.INT32) for word in bits]


def _require_output(place: Element, dtype: DType) -> None:
    if place.step.output.dtype is not dtype:
        raise ModelMalformed(f"the output is {place.step.output.dtype.name}, not {dtype.name}")
