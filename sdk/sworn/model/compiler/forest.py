"""Decision trees as the tables that a `Tree` step reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from sworn.model.program import Function

Array = npt.NDArray[Any]

#: Comparisons by their names in ai.onnx.ml, in the order of their numbers in TreeEnsemble-5.
MODES: Mapping[str, Function] = MappingProxyType(
    {
        "BRANCH_LEQ": Function.LESS_OR_EQUAL,
        "BRANCH_LT": Function.LESS,
        "BRANCH_GTE": Function.GREATER_OR_EQUAL,
        "BRANCH_GT": Function.GREATER,
        "BRANCH_EQ": Function.EQUAL,
        "BRANCH_NEQ": Function.NOT,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """An inner node; children are keys."""

    feature: int
    mode: Function
    threshold: float
    when_true: int
    when_false: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Forest:
    """Tables of all trees."""

    #: int32 [nodes, 6] and [trees, 2], as `Tree` describes them.
    nodes: Array
    roots: Array
    #: Keys of all leaves, tree after tree, each tree's in preorder.
    leaves: tuple[int, ...]
    #: int32 [trees]: place of each tree's first leaf in ``leaves``.
    first_leaves: Array


def plant(roots: Sequence[int], branches: Mapping[int, Branch]) -> Forest | None:
    """Tables of the trees with the given roots; a key without a branch is a leaf.

    None where an inner node is met twice: then the nodes are no trees.
    """
    rows: list[list[int]] = []
    leaves: list[int] = []
    starts, firsts = [], []
    seen: set[int] = set()
    for root in roots:
        starts.append([len(rows), 0])
        firsts.append(len(leaves))
        if not _is_walked(root, branches, rows=rows, leaves=leaves, seen=seen):
            return None
        starts[-1][1] = len(rows) - starts[-1][0]
    return Forest(
        nodes=np.array(rows, np.int32).reshape(-1, 6),
        roots=np.array(starts, np.int32).reshape(-1, 2),
        leaves=tuple(leaves),
        first_leaves=np.array(firsts, np.int32),
    )


def _is_walked(
    root: int, branches: Mapping[int, Branch], *, rows: list[list[int]], leaves: list[int], seen: set[int]
) -> bool:
    # Entries are (key, row, column): a node to visit, or with key None the column of a row to fill with the next leaf.
    first = len(leaves)
    pending: list[tuple[int | None, int, int]] = [(root, 0, 0)]
    while pending:
        key, row, place = pending.pop()
        if key is None:
            rows[row][place] = len(leaves) - first
        elif key not in branches:
            leaves.append(key)
        else:
            if key in seen:
                return False
            seen.add(key)
            branch, row = branches[key], len(rows)
            threshold = int(np.float32(branch.threshold + 0.0).view(np.int32))
            rows.append([branch.feature, int(branch.mode), threshold, len(leaves) - first, 0, 0])
            pending += [(None, row, 5), (branch.when_false, 0, 0), (None, row, 4), (branch.when_true, 0, 0)]
    return True
