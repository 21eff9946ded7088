from __future__ import annotations

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from sworn.model.program import Clip, Operand, Reduction, Space
from sworn.model.ranges import window_span, windows_filled

_SMALL = st.integers(-3, 3)
_CLIPS = st.builds(
    Clip,
    axis=st.integers(0, 1),
    step=_SMALL,
    dilation=_SMALL.filter(bool),
    origin=_SMALL,
    extent=st.integers(0, 6),
)
_REDUCTIONS = st.lists(
    st.builds(Reduction, extent=st.integers(1, 4), left_stride=_SMALL, clip=st.none() | _CLIPS), min_size=1, max_size=3
)


def inside(clip: Clip | None, o: tuple[int, ...], r: int) -> bool:
    """Whether a term counts, by the definition of a clip."""
    return clip is None or 0 <= o[clip.axis] * clip.step + r * clip.dilation + clip.origin < clip.extent


def counted(axes: tuple[int, int], reductions: list[Reduction]) -> dict[tuple[int, ...], list[tuple[int, ...]]]:
    """By output index, every term that counts: the definition."""
    return {
        o: [
            r
            for r in product(*(range(each.extent) for each in reductions))
            if all(
                each.clip is None
                or 0
                <= o[each.clip.axis] * each.clip.step + i * each.clip.dilation + each.clip.origin
                < each.clip.extent
                for each, i in zip(reductions, r, strict=True)
            )
        ]
        for o in product(*(range(size) for size in axes))
    }


@given(st.tuples(st.integers(1, 5), st.integers(1, 5)), _REDUCTIONS, st.tuples(_SMALL, _SMALL), _SMALL)
def test_window_span_of_any_window_equals_the_definition(
    axes: tuple[int, int], reductions: list[Reduction], strides: tuple[int, int], offset: int
) -> None:
    """Least and greatest element over all terms that count, and whether some window is empty."""
    terms = counted(axes, reductions)
    operand = Operand(space=Space.VALUE, tensor=0, offset=offset, strides=strides)
    touched = [
        offset
        + sum(stride * i for stride, i in zip(strides, o, strict=True))
        + sum(each.left_stride * i for each, i in zip(reductions, r, strict=True))
        for o, found in terms.items()
        for r in found
    ]
    span = window_span(operand, axes, reductions, strides=[each.left_stride for each in reductions])
    assert span.empty == (not touched)
    if touched:
        assert (span.least, span.greatest) == (min(touched), max(touched))
    assert windows_filled(axes, reductions) == all(terms.values())
