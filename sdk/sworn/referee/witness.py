"""Certificates refuted by one witness, so that neither the size of a window nor that of a tree matters."""

from __future__ import annotations

import math
from collections.abc import Sequence

from sworn.errors import ProofMalformed
from sworn.model.program import Extremum, Function, Reduction, Space, Step, Tree
from sworn.referee import functions, integers
from sworn.referee.elements import Element, Read, TypeOf
from sworn.types import DType

_NODE_WORDS, _ROOT_WORDS = 6, 2


def refutes(step: Step, type_of: TypeOf, index: int, witness: int, *, claimed: int, read: Read) -> bool:
    """Whether ``witness`` shows that an extremum or a leaf is not what is claimed.

    An extremum's witness is a position in the window; a leaf's is a node of the tree, numbered within it. Where the
    claim is no position or no leaf at all, it needs no witness and 0 is given. Raises `ProofMalformed` for a witness
    that says nothing, `RunNotFinite` for one that is NaN.
    """
    place = Element(step=step, index=coordinates(step.axes, index), type_of=type_of, read=read)
    stated = integers.decode(claimed, step.output.dtype)
    match step.body:
        case Extremum() as body:
            return _better(place, body, witness, claimed=stated)
        case Tree() as body:
            return _elsewhere(place, body, witness, claimed=stated)
        case _:
            raise ProofMalformed(f"a {step.rule.name.lower()} step takes no witness")


def coordinates(extents: Sequence[int], index: int) -> tuple[int, ...]:
    """A flat row-major index as one per extent."""
    found = []
    for extent in reversed(extents):
        index, coordinate = divmod(index, extent)
        found.append(coordinate)
    return tuple(reversed(found))


def sends_true(mode: int, feature: int, threshold: int) -> bool:
    """What a tree's comparison of two float32 values, given as bits, says. Raises `ProofMalformed`, `RunNotFinite`."""
    left, right = (functions.order_key(bits, DType.FLOAT32) for bits in (feature, threshold))
    if mode == Function.NOT:
        return left != right
    if mode not in set(Function):
        raise ProofMalformed(f"{mode} is no comparison of a tree")
    return functions.compare(Function(mode), left, right)


def _better(place: Element, body: Extremum, witness: int, *, claimed: int) -> bool:
    mine = _key(place, body, claimed)
    if mine is None:
        return _needs_none(witness)
    other = _key(place, body, witness)
    if other is None:
        raise ProofMalformed("the witness does not count")
    return other > mine or (other == mine and witness < claimed)


def _key(place: Element, body: Extremum, position: int) -> int | None:
    """How good the element at a position is; None where nothing counts."""
    extents = [reduction.extent for reduction in body.reductions]
    if not 0 <= position < math.prod(extents):
        return None
    at = coordinates(extents, position)
    if not _inside(place, body.reductions, at):
        return None
    moved = sum(reduction.left_stride * r for reduction, r in zip(body.reductions, at, strict=True))
    key = functions.order_key(place.bits(body.source, moved), place.dtype(body.source))
    return key if body.largest else -key


def _inside(place: Element, reductions: Sequence[Reduction], at: Sequence[int]) -> bool:
    clips = [(reduction.clip, r) for reduction, r in zip(reductions, at, strict=True) if reduction.clip is not None]
    return all(0 <= place.index[c.axis] * c.step + r * c.dilation + c.origin < c.extent for c, r in clips)


def _elsewhere(place: Element, body: Tree, witness: int, *, claimed: int) -> bool:
    first, nodes = _words(place, body.roots, place.index[body.tree_axis], _ROOT_WORDS)
    if not 0 <= claimed <= nodes:
        return _needs_none(witness)
    if not 0 <= witness < nodes:
        raise ProofMalformed("the witness is no node of the tree")
    feature, mode, threshold, start, middle, end = _words(place, body.nodes, first + witness, _NODE_WORDS)
    if not start <= claimed < end:
        raise ProofMalformed("the witness does not stand above the claimed leaf")
    value = place.bits(body.features, feature * body.feature_stride)
    return sends_true(mode, value, integers.wrap(threshold, DType.INT32)) != (claimed < middle)


def _words(place: Element, weight: int, row: int, words: int) -> list[int]:
    bits = place.gather(Space.WEIGHT, weight, range(row * words, (row + 1) * words))
    return [integers.decode(word, DType.INT32) for word in bits]


def _needs_none(witness: int) -> bool:
    if witness:
        raise ProofMalformed("the claim needs no witness")
    return True
