"""The walk through decision trees, for numba to compile."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from sworn.engine.exact.jit import compiled

Array = NDArray[Any]


@compiled
def descend(
    features: Array,
    starts: Array,
    stride: int,
    tests: Array,
    thresholds: Array,
    children: Array,
    roots: Array,
    out: Array,
) -> None:
    """Leaves [rows, trees] that rows reach; a child below 0 is the leaf ``-1 - child``."""
    for i in range(out.shape[0]):
        for t in range(out.shape[1]):
            node = roots[t]
            while node >= 0:
                value = features[starts[i, t] + tests[node, 0] * stride]
                threshold = thresholds[node]
                mode = tests[node, 1]
                if mode == 0:
                    taken = value <= threshold
                elif mode == 1:
                    taken = value < threshold
                elif mode == 2:
                    taken = value >= threshold
                elif mode == 3:
                    taken = value > threshold
                elif mode == 4:
                    taken = value == threshold
                else:
                    taken = value != threshold
                node = children[node, 0] if taken else children[node, 1]
            out[i, t] = -1 - node
