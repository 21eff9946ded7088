"""What an operator shows of a trace, and whether it leads to the trace root; twin of `contracts/TraceVerifier.sol`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Final, Protocol

from sworn.codec.trees import (
    CHUNK_BYTES,
    HASH_BYTES,
    chunk_count,
    depth_of,
    leaf_hash,
    node_hash,
    seal_data,
    tree_levels,
)
from sworn.errors import DisclosureInvalid, TraceCorrupt
from sworn.model.commitment import seal_trace
from sworn.types import ZERO_HASH, Disclosure, Part, Target

#: A node is shown with its descendants so many levels below.
SHOWN_LEVELS: Final = 4
#: Chunks that are shown at a time: as many as are under such a node.
GROUP_CHUNKS: Final = 1 << SHOWN_LEVELS
#: Parts of the weights, as parts of a trace.
_OF_TRACE: Final = MappingProxyType(
    {Part.WEIGHTS: Part.VALUES, Part.WEIGHT_NODES: Part.NODES, Part.WEIGHT_CHUNKS: Part.CHUNKS}
)
#: No node is higher that anybody can demand.
_MAX_LEVEL: Final = 32


class Showable(Protocol):
    """A trace as its operator has it, in memory or in a file: nothing is read but what is shown."""

    @property
    def data_roots(self) -> Sequence[bytes]:
        """Data root of each value: the leaves under the trace root."""
        ...

    @property
    def lengths(self) -> Sequence[int]:
        """Bytes of each value."""
        ...

    def levels(self, value: int) -> Sequence[bytes | memoryview]:
        """The levels of a value's chunk tree from its leaves to its root, as `sworn.codec.trees.tree_levels` gives."""
        ...

    def read(self, value: int, start: int, stop: int) -> bytes:
        """Committed bytes of a value; both ends are ends of chunks."""
        ...


def is_plausible(target: Target) -> bool:
    """Whether a trace, or a model, can have what is demanded; the contract takes no other demands."""
    if target.part is Part.INTERFACE and target.index != 0:
        return False
    if target.part in (Part.STEPS, Part.INTERFACE):
        return target.value == target.level == 0
    if target.part in (Part.VALUES, Part.WEIGHTS) and target.value != 0:
        return False
    return target.level == 0 if target.part in (Part.CHUNKS, Part.WEIGHT_CHUNKS) else target.level <= _MAX_LEVEL


def is_of_trace(part: Part) -> bool:
    """Whether a part belongs to the trace, and not to the model."""
    return part < Part.WEIGHTS


def part_of_tensors(part: Part) -> Part:
    """What a part of the weights would be in a trace; a part of a trace is itself."""
    return _OF_TRACE.get(part, part)


def show(trace: Showable, target: Target) -> Disclosure:
    """What answers a demand for a part of a trace; where it has no such node, its sizes and roots are the answer.

    Raises `TraceCorrupt` where the trace does not lead to its own roots.
    """
    count, tree = len(trace.data_roots), tree_levels(b"".join(trace.data_roots))
    disclosure = shown_tensors(trace, target)
    try:
        # INVARIANT: what damage on disk has changed is never shown: a contract would refuse it, at our expense.
        check(disclosure, target, seal_trace(count, _top(tree)))
    except DisclosureInvalid as error:
        raise TraceCorrupt(f"value {target.value} is damaged: {error}") from error
    return disclosure


def shown_tensors(trace: Showable, target: Target) -> Disclosure:
    """The same, unchecked, of values or of weights, for a target that names a part of a trace."""
    count = len(trace.data_roots)
    tree = tree_levels(b"".join(trace.data_roots))
    disclosure = Disclosure(values=count, values_tree=_top(tree))
    if target.part is Part.VALUES:
        nodes, siblings = _shown_node(tree, count, target.level, target.index)
        disclosure = Disclosure(values=count, values_tree=_top(tree), nodes=nodes, siblings=siblings)
    elif target.value < count:
        disclosure = _shown_value(trace, target, tree)
    return disclosure


def check(disclosure: Disclosure, target: Target, trace_root: bytes) -> None:
    """Checks that what is shown is what was demanded of the trace under a root. Raises `DisclosureInvalid`.

    A node that the trace does not have cannot be shown: then the sizes and roots alone are checked.
    """
    check_tensors(disclosure, target, trace_root, seal=seal_trace)


def check_tensors(disclosure: Disclosure, target: Target, root: bytes, *, seal: Callable[[int, bytes], bytes]) -> None:
    """The same for values or weights under any root; ``seal`` makes it of their number and tree."""
    shown = disclosure
    hashes = (shown.values_tree, shown.chunks_tree, *shown.value_siblings, *shown.nodes, *shown.siblings)
    if any(len(each) != HASH_BYTES for each in hashes):
        raise DisclosureInvalid(f"a hash has {HASH_BYTES} bytes")
    if not (0 <= shown.values < 1 << 32 and 0 <= shown.length < 1 << 64):
        raise DisclosureInvalid("more values or bytes than a trace can have")
    if seal(shown.values, shown.values_tree) != root:
        raise DisclosureInvalid("what is shown is of another trace")
    _require_empty(shown.values, shown.values_tree)
    if target.part is Part.VALUES:
        _check_node(shown, target.level, target.index, tree=shown.values_tree, leaves=shown.values)
        return
    if target.value >= shown.values:
        return
    data = seal_data(shown.length, shown.chunks_tree)
    check_way(data, target.value, shown.value_siblings, level=0, leaves=shown.values, tree=shown.values_tree)
    _require_empty(shown.length, shown.chunks_tree)
    if target.part is Part.NODES:
        leaves = chunk_count(shown.length)
        _check_node(shown, target.level, target.index, tree=shown.chunks_tree, leaves=leaves)
    else:
        _check_chunks(shown, target.index)


def _shown_value(trace: Showable, target: Target, tree: Sequence[bytes]) -> Disclosure:
    length, levels = trace.lengths[target.value], trace.levels(target.value)
    count, chunks = chunk_count(length), b""
    if target.part is Part.NODES:
        nodes, siblings = _shown_node(levels, count, target.level, target.index)
    else:
        nodes, siblings = (), ()
        start = target.index * GROUP_CHUNKS * CHUNK_BYTES
        if start < length:
            chunks = trace.read(target.value, start, min(start + GROUP_CHUNKS * CHUNK_BYTES, length))
            siblings = way_up(levels, count, min(SHOWN_LEVELS, depth_of(count)), target.index)
    return Disclosure(
        values=len(trace.data_roots),
        values_tree=_top(tree),
        value_siblings=way_up(tree, len(trace.data_roots), 0, target.value),
        length=length,
        chunks_tree=_top(levels),
        nodes=nodes,
        chunks=chunks,
        siblings=siblings,
    )


def _shown_node(
    levels: Sequence[bytes | memoryview], leaves: int, level: int, index: int
) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """The descendants of a node that are shown, and the way from it to the root; nothing where it does not exist."""
    if level > depth_of(leaves) or index << level >= leaves:
        return (), ()
    below = min(level, SHOWN_LEVELS)
    first = index << below
    count = _existing(leaves, level - below, first, 1 << below)
    nodes = tuple(_at(levels, level - below, place) for place in range(first, first + count))
    return nodes, way_up(levels, leaves, level, index)


def way_up(levels: Sequence[bytes | memoryview], leaves: int, level: int, index: int) -> tuple[bytes, ...]:
    """The hashes that lead from a node to the root of a tree."""
    places = ((height, index >> (height - level) ^ 1) for height in range(level, depth_of(leaves)))
    return tuple(_at(levels, height, place) for height, place in places)


def _at(levels: Sequence[bytes | memoryview], level: int, place: int) -> bytes:
    found = bytes(levels[level][HASH_BYTES * place : HASH_BYTES * (place + 1)])
    return found or _missing(level)


def _top(levels: Sequence[bytes | memoryview]) -> bytes:
    return bytes(levels[-1])


def _missing(height: int) -> bytes:
    """The node of a height under which there are no leaves."""
    node = ZERO_HASH
    for _ in range(height):
        node = node_hash(node, node)
    return node


def _existing(leaves: int, level: int, first: int, count: int) -> int:
    """How many of so many nodes of a height, from the first on, have a leaf below them."""
    return min(count, -(-leaves // (1 << level)) - first)


def _check_node(shown: Disclosure, level: int, index: int, *, tree: bytes, leaves: int) -> None:
    if level > depth_of(leaves) or index << level >= leaves:
        return
    below = min(level, SHOWN_LEVELS)
    expected = _existing(leaves, level - below, index << below, 1 << below)
    if len(shown.nodes) != expected:
        raise DisclosureInvalid(f"{len(shown.nodes)} nodes are shown, not {expected}")
    node = _fold(shown.nodes, levels=below, height=level - below)
    check_way(node, index, shown.siblings, level=level, leaves=leaves, tree=tree)


def _check_chunks(shown: Disclosure, group: int) -> None:
    count, first = chunk_count(shown.length), group * GROUP_CHUNKS
    if first >= count:
        return
    level = min(depth_of(count), SHOWN_LEVELS)
    size = min(_existing(count, 0, first, 1 << level) * CHUNK_BYTES, shown.length - first * CHUNK_BYTES)
    if len(shown.chunks) != size:
        raise DisclosureInvalid(f"{len(shown.chunks)} bytes are shown, not {size}")
    leaves = [leaf_hash(shown.chunks[start : start + CHUNK_BYTES]) for start in range(0, size, CHUNK_BYTES)]
    node = _fold(leaves, levels=level, height=0)
    check_way(node, group, shown.siblings, level=level, leaves=count, tree=shown.chunks_tree)


def check_way(node: bytes, index: int, siblings: Sequence[bytes], *, level: int, leaves: int, tree: bytes) -> None:
    """A node of a height and index leads to the root of a tree over so many leaves. Raises `DisclosureInvalid`."""
    if len(siblings) != depth_of(leaves) - level:
        raise DisclosureInvalid(f"{len(siblings)} hashes lead up, not {depth_of(leaves) - level}")
    missing = _missing(level)
    for height, sibling in enumerate(siblings, level):
        # INVARIANT: a subtree without leaves has one root, as it has for the referee: what can be shown can be proven.
        if (index ^ 1) << height >= leaves and sibling != missing:
            raise DisclosureInvalid("a part without leaves has another root than it must have")
        node = node_hash(sibling, node) if index & 1 else node_hash(node, sibling)
        index, missing = index >> 1, node_hash(missing, missing)
    if node != tree:
        raise DisclosureInvalid("what is shown does not lead to the root")


def _require_empty(leaves: int, tree: bytes) -> None:
    if leaves == 0 and tree != ZERO_HASH:
        raise DisclosureInvalid("what is empty has another root than it must have")


def _fold(nodes: Sequence[bytes], *, levels: int, height: int) -> bytes:
    """The node so many levels above nodes of a height."""
    missing, row = _missing(height), list(nodes)
    for _ in range(levels):
        if len(row) % 2:
            row.append(missing)
        row = [node_hash(left, right) for left, right in zip(row[::2], row[1::2], strict=True)]
        missing = node_hash(missing, missing)
    return row[0]
