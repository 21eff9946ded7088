"""What is known of a stranger's trace: every piece has been checked against its root."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from sworn.codec.openings import DataOpening
from sworn.codec.trees import CHUNK_BYTES, chunk_count, depth_of, leaf_hash, node_hash, seal_data, tree_levels
from sworn.dispute.disclosure import GROUP_CHUNKS, SHOWN_LEVELS, check
from sworn.errors import DisclosureInvalid
from sworn.model.commitment import trace_root
from sworn.types import ZERO_HASH, Disclosure, Part, Target

#: A node of a tree by its height and place.
Node = Callable[[int, int], bytes]


class KnownTree:
    """Some nodes of a tree, all of which lead to its root."""

    def __init__(self, leaves: int, root: bytes) -> None:
        self.leaves, self.depth = leaves, depth_of(leaves)
        self._nodes = {(self.depth, 0): root}
        self._missing = [ZERO_HASH]
        for height in range(self.depth):
            self._missing.append(node_hash(self._missing[height], self._missing[height]))

    def node(self, level: int, index: int) -> bytes | None:
        """A node, if it is known; those under which there are no leaves always are."""
        return self._missing[level] if index << level >= self.leaves else self._nodes.get((level, index))

    def known(self, level: int, index: int) -> bytes:
        """A node that is known. Raises `KeyError` for another."""
        found = self.node(level, index)
        if found is None:
            raise KeyError(f"node {index} of height {level} has not been shown")
        return found

    def has_node(self, level: int, index: int) -> bool:
        """Whether there is such a node, with leaves under it."""
        return level <= self.depth and index << level < self.leaves

    def add(self, level: int, index: int, row: Sequence[bytes], siblings: Sequence[bytes], *, below: int) -> None:
        """Takes the descendants of a node, so many levels ``below`` it, and the way from it to the root."""
        height, first = level - below, index << below
        for _ in range(below):
            self._nodes.update({(height, first + place): each for place, each in enumerate(row)})
            row = [*row, self._missing[height]] if len(row) % 2 else row
            row = [node_hash(left, right) for left, right in zip(row[::2], row[1::2], strict=True)]
            height, first = height + 1, first >> 1
        node = row[0]
        for sibling in siblings:
            self._nodes[level, index] = node
            if (index ^ 1) << level < self.leaves:
                self._nodes[level, index ^ 1] = sibling
            node = node_hash(sibling, node) if index & 1 else node_hash(node, sibling)
            level, index = level + 1, index >> 1

    def above(self, leaf: int) -> tuple[int, int]:
        """The lowest known node over a leaf: what to have shown next, unless it is the leaf itself."""
        level = next(height for height in range(self.depth + 1) if (height, leaf >> height) in self._nodes)
        return level, leaf >> level


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownValue:
    """What is known of one value."""

    #: Bytes of its data.
    length: int
    tree: KnownTree
    #: Contents by the chunk's number.
    chunks: dict[int, bytes] = field(default_factory=dict)

    def numbers(self, group: int) -> range:
        """The chunks of a group."""
        return range(group * GROUP_CHUNKS, min((group + 1) * GROUP_CHUNKS, self.tree.leaves))

    def missing(self) -> list[int]:
        """Groups of chunks that have not been shown."""
        return [first // GROUP_CHUNKS for first in range(0, self.tree.leaves, GROUP_CHUNKS) if first not in self.chunks]

    def data(self) -> bytes:
        """All of it. Raises `KeyError` where it has not been shown."""
        return b"".join(self.chunks[number] for number in range(self.tree.leaves))

    def open(self, chunks: Iterable[int]) -> DataOpening:
        """Opens chunks that have been shown. Raises `KeyError` for others."""
        chosen = sorted(set(chunks))
        siblings = siblings_of(self.tree.leaves, chosen, self.tree.known)
        contents = {number: self.chunks[number] for number in chosen}
        return DataOpening(byte_length=self.length, chunks=contents, siblings=siblings)


class ShownTrace:
    """All that has been shown of the trace under one root, by whomever."""

    def __init__(self, root: bytes) -> None:
        self.root = root
        #: The tree over the values' data roots; None before anything has been shown.
        self.tree: KnownTree | None = None
        self.values: dict[int, ShownValue] = {}
        #: What was passed over, for people.
        self.refused: list[str] = []

    def take(self, target: Target, disclosure: Disclosure) -> None:
        """Takes what was shown for a target. Raises `DisclosureInvalid`, and knows no more than before."""
        check(disclosure, target, self.root)
        tree = self.tree = self.tree or KnownTree(disclosure.values, disclosure.values_tree)
        if target.part is Part.VALUES:
            _add_nodes(tree, target, disclosure)
        elif target.value < tree.leaves:
            root = seal_data(disclosure.length, disclosure.chunks_tree)
            tree.add(0, target.value, [root], disclosure.value_siblings, below=0)
            self._take_value(target, disclosure)

    def take_roots(self, data_roots: Sequence[bytes]) -> None:
        """Takes the data roots of all values. Raises `DisclosureInvalid` for those of another trace."""
        if not data_roots or trace_root(data_roots) != self.root:
            raise DisclosureInvalid("the data roots are another trace's")
        top = tree_levels(b"".join(data_roots))[-1]
        tree = self.tree = self.tree or KnownTree(len(data_roots), top)
        tree.add(tree.depth, 0, data_roots, (), below=tree.depth)

    def is_whole(self, value: int) -> bool:
        """Whether all of a value has been shown."""
        return value in self.values and not self.values[value].missing()

    def data_root(self, value: int) -> bytes | None:
        """The data root of a value, if it is known."""
        return None if self.tree is None else self.tree.node(0, value)

    def wanted_roots(self, values: Iterable[int]) -> tuple[Target, ...]:
        """What to have shown for the data roots of some values; nothing where they are known."""
        if self.tree is None:
            return ()
        above = dict.fromkeys(self.tree.above(value) for value in values)
        return tuple(Target(part=Part.VALUES, level=level, index=index) for level, index in above if level)

    def _take_value(self, target: Target, disclosure: Disclosure) -> None:
        known = self.values.get(target.value)
        if known is None:
            tree = KnownTree(chunk_count(disclosure.length), disclosure.chunks_tree)
            known = self.values[target.value] = ShownValue(length=disclosure.length, tree=tree)
        if target.part is Part.NODES:
            _add_nodes(known.tree, target, disclosure)
            return
        first = target.index * GROUP_CHUNKS
        if first >= known.tree.leaves:
            return
        data = disclosure.chunks
        parts = [data[start : start + CHUNK_BYTES] for start in range(0, len(data), CHUNK_BYTES)]
        known.chunks.update({first + place: part for place, part in enumerate(parts)})
        level = min(known.tree.depth, SHOWN_LEVELS)
        known.tree.add(level, target.index, [leaf_hash(part) for part in parts], disclosure.siblings, below=level)


def _add_nodes(tree: KnownTree, target: Target, disclosure: Disclosure) -> None:
    if tree.has_node(target.level, target.index):
        below = min(target.level, SHOWN_LEVELS)
        tree.add(target.level, target.index, disclosure.nodes, disclosure.siblings, below=below)


def siblings_of(leaves: int, chosen: Iterable[int], node: Node) -> tuple[bytes, ...]:
    """The hashes that go with some leaves of a tree, as `sworn.codec.openings` orders them; ``node`` gives each."""
    known, siblings = set(chosen), list[bytes]()
    if not known:
        return (node(depth_of(leaves), 0),) if leaves else ()
    for level in range(depth_of(leaves)):
        wanted = sorted({index ^ 1 for index in known} - known)
        siblings += [node(level, index) for index in wanted if index << level < leaves]
        known = {index >> 1 for index in known}
    return tuple(siblings)
