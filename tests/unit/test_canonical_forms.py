from __future__ import annotations

import numpy as np
import pytest

from sworn.model.canonical import Form, values_of
from sworn.model.canonical.forms import Digit, Moves, cuts_of, flat_form, joined_cuts, locate


def channels_first() -> Form:
    """[channels 3, rows 4, columns 6] of a value that is stored [rows, columns, channels]."""
    digits = (Digit(size=3, stride=1), Digit(size=4, stride=18), Digit(size=6, stride=3))
    return Form(name="x", shape=(1, 3, 4, 6), digits=digits)


def taken(form: Form, moves: Moves) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]] | None:
    """The flat elements that parts of a tensor hold, over the axes in their order; None where there are none."""
    parts = locate(form, moves)
    if parts is None:
        return None
    flat = np.arange(int(np.prod([digit.size for digit in form.digits])))
    order = form.order
    stored = flat.reshape([form.digits[k].size for k in order]).transpose(np.argsort(order))
    refined = stored.reshape([part.size for part in parts])
    cut = refined[tuple(slice(part.start, part.start + part.count) for part in parts)]
    wanted = sorted(
        (place for place, part in enumerate(parts) if part.axis is not None),
        key=lambda place: (parts[place].axis, -parts[place].inner),
    )
    rest = [place for place in range(len(parts)) if place not in wanted]
    return cut.transpose([*rest, *wanted]).reshape(moves.sizes)


def expected(moves: Moves) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """The flat elements by the definition of an operand."""
    found = np.array(moves.offset)
    for size, stride in zip(moves.sizes, moves.strides, strict=True):
        found = found[..., None] + np.arange(size) * stride
    return found


@pytest.mark.parametrize(
    "moves",
    [
        Moves(offset=0, sizes=(4, 6, 3), strides=(18, 3, 1)),
        Moves(offset=0, sizes=(72,), strides=(1,)),
        Moves(offset=0, sizes=(3, 24), strides=(1, 3)),
        Moves(offset=19, sizes=(2, 6), strides=(18, 3)),
        Moves(offset=5, sizes=(4, 3), strides=(18, 6)),
        Moves(offset=2, sizes=(), strides=()),
    ],
)
@pytest.mark.parametrize("form", [channels_first(), flat_form("x", (4, 18)), flat_form("x", (72,))])
def test_located_parts_hold_the_operands_elements(form: Form, moves: Moves) -> None:
    """Whatever the order in memory, and however axes are cut."""
    found = taken(form, moves)
    assert found is not None
    assert np.array_equal(found, expected(moves))


@pytest.mark.parametrize(
    "moves",
    [
        Moves(offset=0, sizes=(3, 3), strides=(3, 3)),
        Moves(offset=0, sizes=(5,), strides=(5,)),
        Moves(offset=71, sizes=(4,), strides=(-18,)),
        Moves(offset=-1, sizes=(3,), strides=(1,)),
        Moves(offset=9, sizes=(6,), strides=(3,)),
    ],
)
def test_windows_and_odd_strides_are_not_located(moves: Moves) -> None:
    """Elements taken twice, strides that fit no dimension, steps backwards, and ranges over an edge."""
    assert locate(channels_first(), moves) is None


def test_axis_that_crosses_dimensions_is_cut_where_they_end() -> None:
    """Rows and columns that a step sees as one axis are two dimensions behind a convolution."""
    parts = locate(channels_first(), Moves(offset=0, sizes=(24, 3), strides=(3, 1)))
    assert parts is not None
    assert cuts_of(parts, 2) == [{6}, set()]


def test_cuts_that_cross_each_other_do_not_join() -> None:
    """An axis of 12 cannot be cut before every fourth and before every sixth element at once."""
    assert joined_cuts((12,), [[{2}], [{6}]]) == [{2, 6}]
    assert joined_cuts((12,), [[{4}], [{6}]]) is None


def test_values_come_back_in_the_programs_order() -> None:
    """The tensor of a graph, read flat."""
    tensor = np.arange(72).reshape(1, 3, 4, 6)
    assert np.array_equal(values_of(channels_first(), tensor), tensor[0].transpose(1, 2, 0).reshape(-1))
