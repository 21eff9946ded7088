"""The canonical program of a model: one step writes one tensor, and says of every element what it is computed from.

A program is the meaning of a model in the profiles ``exact`` and ``bounded``. It knows no ONNX operators, names or
attributes, only a few rules; every shape is fixed. Tensors are numbered: model inputs first, then one per step, in an
order in which every step reads only tensors before its own. Weights are numbered apart.

Every index is affine. A step factors its output's flat row-major order into ``axes`` (their product is the number of
elements, they need not be the output's shape), and an operand's flat element for output index ``o`` is
``offset + Σ strides[k]·o[k]``. Reshape, Squeeze, Flatten and their like are therefore no steps.

Definitions of the arithmetic: `docs/arithmetic.md`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from sworn.types import DType


class Rule(IntEnum):
    """How an element follows from others; one referee each. The numbers are part of a program's encoding."""

    #: An element of another tensor, or a constant.
    COPY = 1
    #: A sum of products (or of elements), plus bias, divided, clamped; one rounding.
    CONTRACT = 2
    #: A function of one to three elements.
    POINTWISE = 3
    #: The element that an index tensor points at.
    LOOKUP = 4
    #: The position of the greatest or least element of a window; the first wins.
    EXTREMUM = 5
    #: The position of the element that is p-th in a sorted row; earlier ones first among equals.
    RANK = 6
    #: The leaf that a decision tree reaches.
    TREE = 7


class Function(IntEnum):
    """Functions of `Pointwise`. The numbers are part of a program's encoding.

    Operands are called a, b, c in their order; ``alpha`` and ``beta`` are the step's float32 parameters.
    """

    ADD = 1
    SUB = 2
    MUL = 3
    DIV = 4
    MIN = 5
    MAX = 6
    #: The remainder with the divisor's sign.
    MOD = 7
    #: The remainder with the dividend's sign.
    FMOD = 8
    #: a to the power ``alpha``, a constant.
    POW = 9
    NEG = 16
    ABS = 17
    SIGN = 18
    SQRT = 19
    RECIPROCAL = 20
    FLOOR = 21
    CEIL = 22
    #: To the nearest integer, ties to even.
    ROUND = 23
    EXP = 32
    LOG = 33
    TANH = 34
    SIGMOID = 35
    ERF = 36
    SOFTPLUS = 37
    #: a where a ≥ 0, else alpha · (exp(a) − 1), correctly rounded as a whole.
    ELU = 38
    #: max(0, min(1, alpha · a + beta)), correctly rounded as a whole.
    HARD_SIGMOID = 39
    #: a where a ≥ 0, else alpha · a.
    LEAKY_RELU = 40
    #: a where a ≥ 0, else b · a.
    PRELU = 41
    #: max(a, 0).
    RELU = 42
    #: min(max(a, alpha), beta).
    CLIP = 43
    SIN = 44
    COS = 45
    EQUAL = 64
    LESS = 65
    LESS_OR_EQUAL = 66
    GREATER = 67
    GREATER_OR_EQUAL = 68
    AND = 69
    OR = 70
    XOR = 71
    NOT = 72
    #: b where a, else c.
    WHERE = 73
    #: a in the output's type.
    CAST = 80
    #: saturate(RNE(a / b) + c).
    QUANTIZE = 81
    #: RN((a − c) · b).
    DEQUANTIZE = 82
    #: saturate(RNE(RN(f32(a) · b)) + c) for an int32 accumulator a and a float32 multiplier b.
    REQUANTIZE = 83


class Space(IntEnum):
    """Where a tensor lives."""

    #: Model inputs and outputs of steps.
    VALUE = 0
    #: Constants of the model.
    WEIGHT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorType:
    """Element type and shape; a scalar's shape is empty."""

    dtype: DType
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        """Number of elements."""
        count = 1
        for size in self.shape:
            count *= size
        return count


@dataclass(frozen=True, slots=True, kw_only=True)
class Operand:
    """The element ``offset + Σ strides[k]·o[k]`` of a tensor, for output index ``o`` over the step's ``axes``."""

    space: Space
    #: Number of the tensor in its space.
    tensor: int
    offset: int = 0
    #: One per axis of the step; 0 broadcasts.
    strides: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A bound on a window: a term counts only where ``0 ≤ o[axis]·step + r·dilation + origin < extent``."""

    #: Position in the step's ``axes``.
    axis: int
    step: int
    dilation: int
    #: Minus the padding before.
    origin: int
    extent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reduction:
    """One reduced axis ``r`` in ``range(extent)`` and what it adds to the operands' elements."""

    extent: int
    left_stride: int
    #: 0 where there is no right operand.
    right_stride: int = 0
    clip: Clip | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A box of the output that is copied from one source.

    Output index ``o`` lies in the box when ``starts[k] ≤ o[k] < stops[k]`` and ``o[k] − starts[k]`` is a multiple of
    ``every[k]`` for all k; its element is then ``source`` at index ``(o[k] − starts[k]) / every[k]``.
    """

    source: Operand
    starts: tuple[int, ...]
    stops: tuple[int, ...]
    every: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """The first piece whose box holds the index, else ``fill`` (bits of one element, right-aligned)."""

    pieces: tuple[Piece, ...]
    fill: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """clamp(RN((Σ (left − left_zero)·(right − right_zero) + bias) / divisor)), summed over all reduced axes.

    Float: everything float32, zero points 0, one rounding, then the clamp. Integer: 8-bit operands (or int32 without a
    right operand), int32 output that wraps, divisor 1, no clamp. At most `MAX_TERMS` terms.
    """

    left: Operand
    #: None sums the left operand alone.
    right: Operand | None = None
    bias: Operand | None = None
    reductions: tuple[Reduction, ...]
    #: A positive integer; 0 = the number of terms that count at this element.
    divisor: int = 1
    left_zero: int = 0
    right_zero: int = 0
    #: float32 bounds after the rounding; None = unbounded.
    lower: float | None = None
    upper: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointwise:
    """``function`` of one to three elements."""

    function: Function
    operands: tuple[Operand, ...]
    #: float32 values, held as Python floats.
    alpha: float = 0.0
    beta: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """``source`` displaced by an index: i = index element, plus the product of ``extents`` when negative.

    i is decomposed over ``extents`` in row-major order, and the element is ``source``'s plus Σ strides[j]·i[j]. An
    index out of range makes the run a typed failure.
    """

    source: Operand
    index: Operand
    extents: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Extremum:
    """Row-major position, over all reduced axes, of the greatest (or least) element that counts; the first wins.

    Output int64. −0 equals +0. A window in which nothing counts is refused at compile time.
    """

    source: Operand
    #: ``left_stride`` displaces the source.
    reductions: tuple[Reduction, ...]
    largest: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Rank:
    """Position, in a row of ``extent`` elements ``stride`` apart, of the p-th greatest (least) element.

    p is the output's index on axis ``axis``. Among equals the earlier one comes first. Output int64.
    """

    source: Operand
    extent: int
    stride: int
    axis: int
    largest: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """Number of the leaf that a row reaches in a tree; leaves of a tree are numbered in preorder from 0. Output int32.

    ``features`` is feature 0 of the row; features lie ``feature_stride`` apart. ``nodes`` is a weight tensor int32
    [nodes, 6] with the inner nodes of each tree in preorder, rows (feature, mode, threshold bits, first, middle, end):
    leaves first ≤ l < middle lie on the true side, middle ≤ l < end on the false side. Modes are `Function` numbers
    (LESS_OR_EQUAL, LESS, GREATER_OR_EQUAL, GREATER, EQUAL; NOT for unequal), feature compared with threshold. ``roots``
    is a weight tensor int32 [trees, 2], rows (first node, nodes); a tree without nodes is leaf 0. The output's index on
    axis ``tree_axis`` is the tree.
    """

    features: Operand
    feature_stride: int
    #: Numbers of weight tensors.
    nodes: int
    roots: int
    tree_axis: int


#: What a step does, by rule.
Body = Copy | Contract | Pointwise | Lookup | Extremum | Rank | Tree


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """How one tensor is written."""

    output: TensorType
    #: Factors of the output's flat row-major order.
    axes: tuple[int, ...]
    body: Body
    #: Needed only to check other steps: an engine that only answers need not compute it.
    virtual: bool = False

    @property
    def rule(self) -> Rule:
        """The rule that the body follows."""
        return _RULES[type(self.body)]


_RULES = {
    Copy: Rule.COPY,
    Contract: Rule.CONTRACT,
    Pointwise: Rule.POINTWISE,
    Lookup: Rule.LOOKUP,
    Extremum: Rule.EXTREMUM,
    Rank: Rule.RANK,
    Tree: Rule.TREE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramOutput:
    """A model output: a value tensor, seen in the output's shape."""

    value: int
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A model's steps. ``steps[i]`` writes value tensor ``len(inputs) + i``."""

    inputs: tuple[TensorType, ...]
    weights: tuple[TensorType, ...]
    steps: tuple[Step, ...]
    outputs: tuple[ProgramOutput, ...]

    def value(self, tensor: int) -> TensorType:
        """Type of a value tensor."""
        return self.inputs[tensor] if tensor < len(self.inputs) else self.steps[tensor - len(self.inputs)].output

    def type_of(self, operand: Operand) -> TensorType:
        """Type of the tensor that an operand reads."""
        return self.value(operand.tensor) if operand.space is Space.VALUE else self.weights[operand.tensor]


#: Longest contraction in one step: its operands and their openings fit one transaction.
MAX_TERMS = 8192
