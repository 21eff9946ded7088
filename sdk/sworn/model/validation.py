"""What a program must be before anyone runs, commits to or judges it.

A valid program reads only elements that exist: every index map is proven inside its tensor here, so that a referee
need not doubt it. What depends on values (index tensors, overflow) cannot be proven, and fails at run time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from sworn.codec.payload import MAX_RANK
from sworn.errors import ModelMalformed, ModelUnsupported
from sworn.model.encoding import check_references, operands, references
from sworn.model.program import (
    MAX_TERMS,
    Contract,
    Copy,
    Extremum,
    Lookup,
    Operand,
    Program,
    Rank,
    Reduction,
    Space,
    Step,
    TensorType,
    Tree,
)
from sworn.model.ranges import Span, box_span, window_span, windows_filled
from sworn.model.typing_rules import check_types

#: Elements of one tensor: every flat index fits a signed 32-bit word.
MAX_ELEMENTS: Final = 2**31 - 1
#: Longest row that a rank is taken of: it is opened as a whole.
MAX_ROW: Final = 15_000
_NODE_FIELDS, _ROOT_FIELDS = 6, 2


def validate(program: Program) -> None:
    """Raises `ModelMalformed` for a program that means nothing, `ModelUnsupported` for one beyond the limits."""
    _check_interface(program)
    check_references(program)
    for number, step in enumerate(program.steps):
        try:
            _check_step(program, step)
        except ModelMalformed as error:
            raise ModelMalformed(f"step {number} ({step.rule.name.lower()}): {error}") from error
        except ModelUnsupported as error:
            raise ModelUnsupported(f"step {number} ({step.rule.name.lower()}): {error}") from error


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ModelMalformed(message)


def _support(condition: bool, message: str) -> None:
    if not condition:
        raise ModelUnsupported(message)


def _check_interface(program: Program) -> None:
    for tensor in (*program.inputs, *program.weights):
        _check_tensor(tensor)
    for output in program.outputs:
        _require(0 <= output.value < len(program.inputs) + len(program.steps), "an output that no step writes")
        written = program.value(output.value)
        shown = TensorType(dtype=written.dtype, shape=output.shape)
        _check_tensor(shown)
        _require(shown.elements == written.elements, "an output's shape does not have as many elements as its tensor")


def _check_tensor(tensor: TensorType) -> None:
    _support(len(tensor.shape) <= MAX_RANK, f"rank {len(tensor.shape)} exceeds {MAX_RANK}")
    _require(all(size >= 0 for size in tensor.shape), "a negative dimension")
    size = math.prod(max(size, 1) for size in tensor.shape)
    _support(size <= MAX_ELEMENTS, f"a tensor of {size} elements, more than {MAX_ELEMENTS}")


def _check_step(program: Program, step: Step) -> None:
    _check_tensor(step.output)
    _support(len(step.axes) <= MAX_RANK, f"{len(step.axes)} axes exceed {MAX_RANK}")
    _require(all(size >= 0 for size in step.axes), "a negative axis")
    _require(math.prod(step.axes) == step.output.elements, "the axes do not make up the output")
    for operand in operands(step.body):
        _require(len(operand.strides) == len(step.axes), "an operand does not have one stride per axis")
    check_types(program, step)
    match step.body:
        case Copy():
            _check_copy(program, step, step.body)
        case Contract():
            _check_contract(program, step, step.body)
        case Lookup():
            _check_lookup(program, step, step.body)
        case Extremum():
            _check_extremum(program, step, step.body)
        case Rank():
            _check_rank(program, step, step.body)
        case Tree():
            _check_tree(program, step, step.body)
        case _:
            for operand in operands(step.body):
                _check_operand(program, step, operand)


def _check_span(program: Program, operand: Operand, span: Span) -> None:
    elements = program.type_of(operand).elements
    _require(
        span.within(elements),
        f"an operand reads elements {span.least} to {span.greatest} of a tensor of {elements}",
    )


def _check_operand(program: Program, step: Step, operand: Operand, *, moves: Sequence[tuple[int, int]] = ()) -> None:
    terms = [*zip(operand.strides, step.axes, strict=True), *moves]
    _check_span(program, operand, box_span(operand.offset, terms))


def _check_copy(program: Program, step: Step, body: Copy) -> None:
    rank = len(step.axes)
    for piece in body.pieces:
        sizes = []
        _require(len(piece.starts) == len(piece.stops) == len(piece.every) == rank, "a box of another rank")
        for start, stop, every, size in zip(piece.starts, piece.stops, piece.every, step.axes, strict=True):
            _require(0 <= start < stop <= size, "a box that is empty or leaves the output")
            _require(every >= 1, "a box that takes every 0-th index")
            sizes.append(-(-(stop - start) // every))
        _check_span(program, piece.source, box_span(piece.source.offset, zip(piece.source.strides, sizes, strict=True)))


def _check_reductions(step: Step, reductions: tuple[Reduction, ...]) -> None:
    for reduction in reductions:
        _require(reduction.extent >= 1, "a reduction over nothing")
        clip = reduction.clip
        if clip is not None:
            _require(0 <= clip.axis < len(step.axes), "a clip along an axis that does not exist")
            _require(clip.dilation != 0, "a clip that does not depend on the reduced index")
            _require(clip.extent >= 1, "a clip that lets nothing count")


def _check_contract(program: Program, step: Step, body: Contract) -> None:
    _check_reductions(step, body.reductions)
    terms = math.prod(reduction.extent for reduction in body.reductions)
    _support(terms <= MAX_TERMS, f"a contraction of {terms} terms, more than {MAX_TERMS}")
    _support(0 <= body.divisor <= MAX_ELEMENTS, f"the divisor {body.divisor}")
    if body.divisor == 0:
        _require(windows_filled(step.axes, body.reductions), "a mean over a window in which nothing counts")
    if None not in (body.lower, body.upper):
        _require((body.lower or 0.0) <= (body.upper or 0.0), "bounds that let nothing through")
    sides = [(body.left, [reduction.left_stride for reduction in body.reductions])]
    rights = [reduction.right_stride for reduction in body.reductions]
    if body.right is None:
        _require(not any(rights), "strides of a right operand that is not there")
    else:
        sides.append((body.right, rights))
    for operand, strides in sides:
        _check_span(program, operand, window_span(operand, step.axes, body.reductions, strides=strides))
    if body.bias is not None:
        _check_operand(program, step, body.bias)


def _check_lookup(program: Program, step: Step, body: Lookup) -> None:
    _require(len(body.extents) == len(body.strides), "a lookup needs one stride per extent")
    _require(all(extent >= 1 for extent in body.extents), "a lookup in nothing")
    _support(math.prod(body.extents) <= MAX_ELEMENTS, "a lookup among more elements than a tensor has")
    # Where the source is looked at depends on values: windows may hang over the edge, and no index may point there.
    _check_operand(program, step, body.index)


def _check_extremum(program: Program, step: Step, body: Extremum) -> None:
    _check_reductions(step, body.reductions)
    _support(math.prod(r.extent for r in body.reductions) <= MAX_ELEMENTS, "a window larger than any tensor")
    _require(all(r.right_stride == 0 for r in body.reductions), "strides of a right operand that is not there")
    _require(windows_filled(step.axes, body.reductions), "a window in which nothing counts")
    strides = [reduction.left_stride for reduction in body.reductions]
    _check_span(program, body.source, window_span(body.source, step.axes, body.reductions, strides=strides))


def _check_rank(program: Program, step: Step, body: Rank) -> None:
    _require(0 <= body.axis < len(step.axes), "a rank along an axis that does not exist")
    _require(body.extent >= 1, "a rank in an empty row")
    _support(body.extent <= MAX_ROW, f"a rank in a row of {body.extent}, more than {MAX_ROW}")
    _require(step.axes[body.axis] <= body.extent, "more ranks than elements")
    _require(body.source.strides[body.axis] == 0, "the row may not depend on the rank")
    _check_operand(program, step, body.source, moves=((body.stride, body.extent),))


def _check_tree(program: Program, step: Step, body: Tree) -> None:
    nodes, roots = program.weights[body.nodes], program.weights[body.roots]
    _require(0 <= body.tree_axis < len(step.axes), "trees along an axis that does not exist")
    _require(len(nodes.shape) == 2 and nodes.shape[1] == _NODE_FIELDS, "the node table does not have six columns")
    _require(roots.shape == (step.axes[body.tree_axis], _ROOT_FIELDS), "the root table does not have a row per tree")
    _require(body.features.space is Space.VALUE, "the features are constant")
    _check_operand(program, step, body.features)


def reads(program: Program, number: int) -> tuple[tuple[Space, int], ...]:
    """The tensors that a step reads, each once, values before weights, in rising order."""
    return tuple(sorted(set(references(program.steps[number].body))))
