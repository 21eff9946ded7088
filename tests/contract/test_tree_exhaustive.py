from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import product
from typing import Any

import pytest
from eth_abi.abi import encode as abi_encode
from tests.support.artifacts import Reverted
from tests.support.padded_tree import (
    DISCLOSURE,
    SHOWN_LEVELS,
    PaddedTree,
    Shown,
    seal_payload,
    seal_trace,
    value_of_chunks,
)
from tests.support.pure_contract import PureContract

from sworn.types import Part

Wanted = tuple[Part, int, int, int]

#: Leaves up to which every position is tried: in the default suite, and by scripts/analyse.
BOUNDS = pytest.mark.parametrize(
    "most", [pytest.param(9, id="few"), pytest.param(70, id="many", marks=pytest.mark.slow)]
)
_CHECK = "check(bytes,(uint8,uint32,uint8,uint32),bytes32)"
_OPENED = "openedRoot(uint256,uint256[],bytes32[],bytes32[])"


@cache
def contract(name: str) -> PureContract:
    """One of each for all tests: calls leave nothing behind."""
    return PureContract(name)


def accepts(shown: Shown, wanted: Wanted, root: bytes) -> bool:
    """Whether the verifier takes a disclosure."""
    try:
        contract("TraceVerifier").call(_CHECK, [abi_encode([DISCLOSURE], [shown.fields]), wanted, root])
    except Reverted as reverted:
        if reverted.name != "DisclosureMismatch":
            raise
        return False
    return True


def hashes(rest: random.Random, count: int) -> list[bytes]:
    """As many different hashes."""
    return [rest.randbytes(32) for _ in range(count)]


def trace_targets(count: int, part: Part = Part.VALUES, value: int = 0) -> Iterator[Wanted]:
    """Every node of a tree, every missing one beside it, and the level above its root."""
    depth = (count - 1).bit_length()
    for level in range(depth + 2):
        yield from ((part, value, level, index) for index in range((1 << max(0, depth - level)) + 1))


def exists(wanted: Wanted, count: int) -> bool:
    """Whether a tree of so many leaves has a node."""
    _, _, level, index = wanted
    return level <= (count - 1).bit_length() and index << level < count


def spoilt(shown: Shown) -> Iterator[Shown]:
    """The same with one word of what is shown different, missing or doubled."""
    for name in ("nodes", "siblings", "value_siblings"):
        words: tuple[bytes, ...] = getattr(shown, name)
        lists = [_changed(list(words), place) for place in range(len(words))]
        for changed in (*lists, [*words, bytes(32)], list(words[1:]), list(words[:-1])):
            fields: dict[str, Any] = {name: tuple(changed)}
            if changed != list(words):
                yield replace(shown, **fields)
    yield replace(shown, values=shown.values + 1)
    yield replace(shown, values_tree=bytes(32))


@BOUNDS
def test_every_node_of_every_tree_is_shown_in_one_way(most: int) -> None:
    """For every number of values and every node: what was committed is taken, and nothing else is."""
    rest = random.Random(1)
    for count in range(1, most + 1):
        tree = PaddedTree(hashes(rest, count))
        root = seal_trace(count, tree.root)
        bare = Shown(values=count, values_tree=tree.root)
        for wanted in trace_targets(count):
            if not exists(wanted, count):
                # The count is the whole answer: it says that there is no such node.
                assert accepts(bare, wanted, root)
                assert not accepts(replace(bare, values=count + 1), wanted, root)
                continue
            shown = _shown(tree, wanted)
            assert accepts(shown, wanted, root)
            # Ways of values are not looked at where nodes of their tree are wanted.
            others = [other for other in spoilt(shown) if not other.value_siblings]
            assert not [other for other in others if accepts(other, wanted, root)]


@BOUNDS
def test_every_node_shown_for_another_is_refused(most: int) -> None:
    """No position passes for another, at any height: the way says where a node stands."""
    rest = random.Random(2)
    for count in (*range(2, min(most, 18) + 1), *({33} if most > 33 else ())):
        tree = PaddedTree(hashes(rest, count))
        root = seal_trace(count, tree.root)
        targets = [wanted for wanted in trace_targets(count) if exists(wanted, count)]
        answers = {wanted: _shown(tree, wanted) for wanted in targets}
        wrong = [(one, other) for one, other in product(targets, targets) if one != other]
        assert not [pair for pair in wrong if accepts(answers[pair[0]], pair[1], root)]


@BOUNDS
def test_tree_with_anything_where_leaves_are_missing_is_shown_only_as_far_as_proofs_reach(most: int) -> None:
    """What a referee could not open cannot be shown either: whoever commits to it falls silent at some demand."""
    rest = random.Random(3)
    for count in range(3, most + 1):
        depth = (count - 1).bit_length()
        for hidden in range(1, min(3, (1 << depth) - count) + 1):
            tree = PaddedTree(hashes(rest, count), hidden=[*[bytes(32)] * (hidden - 1), rest.randbytes(32)])
            root = seal_trace(count, tree.root)
            wanted = [target for target in trace_targets(count) if exists(target, count)]
            shown = {target: _shown(tree, target) for target in wanted}
            taken = {target for target in wanted if accepts(shown[target], target, root)}
            openable = {target for target in wanted if _is_openable(tree, target)}
            assert len(taken) < len(wanted) and openable <= taken
            # What is shown higher up hides what lies below the nodes that it is shown with: the next demand meets it.
            assert all(any(below not in taken for below in _shown_with(target, count)) for target in taken - openable)
            assert all(target[2] > SHOWN_LEVELS for target in taken - openable)


def _shown(tree: PaddedTree, wanted: Wanted) -> Shown:
    _, _, level, index = wanted
    nodes, way = tree.below(level, index), tree.way(level, index)
    return Shown(values=tree.count, values_tree=tree.root, nodes=nodes, siblings=way)


def _is_openable(tree: PaddedTree, wanted: Wanted) -> bool:
    _, _, level, index = wanted
    under = range(index << level, min(tree.count, index + 1 << level))
    nodes = [tree.rows[0][leaf] for leaf in under]
    return _opened(tree.count, list(under), nodes, _hashes_beside(tree, list(under))) == tree.root


def _shown_with(wanted: Wanted, count: int) -> Iterator[Wanted]:
    """The nodes with which one is shown, and which a challenger demands next."""
    part, value, level, index = wanted
    height = max(0, level - SHOWN_LEVELS)
    for place in range(index << (level - height), (index + 1) << (level - height)):
        if place << height < count:
            yield (part, value, height, place)


@BOUNDS
def test_every_chunk_and_node_of_every_value_is_shown_in_one_way(most: int) -> None:
    """For every number of chunks, with a last one of any kind of length: the committed bytes and no others."""
    rest = random.Random(4)
    for count, last in product(range(1, most + 1), (1, 1023, 1024)):
        value = value_of_chunks(count, last, rest)
        others = hashes(rest, 1 + count % 5)
        place = rest.randrange(len(others))
        tree = PaddedTree([*others[:place], value.root, *others[place + 1 :]])
        root = seal_trace(tree.count, tree.root)
        bare = Shown(
            values=tree.count,
            values_tree=tree.root,
            value_siblings=tree.way(0, place),
            length=len(value.data),
            chunks_tree=value.tree.root,
        )
        _check_nodes(bare, value.tree, root, place, all_of=last == 1)
        for group in range(count // 16 + 2):
            wanted = (Part.CHUNKS, place, 0, group)
            start = group * 16 * 1024
            way = value.tree.way(min(4, value.tree.depth), group) if start < len(value.data) else ()
            shown = replace(bare, chunks=value.data[start : start + 16 * 1024], siblings=way)
            assert accepts(shown, wanted, root)
            for other in _spoilt_chunks(shown, rest) if shown.chunks else ():
                assert not accepts(other, wanted, root)


def _check_nodes(bare: Shown, tree: PaddedTree, root: bytes, place: int, *, all_of: bool) -> None:
    for wanted in trace_targets(tree.count, Part.NODES, place) if all_of else ():
        _, _, level, index = wanted
        if not exists(wanted, tree.count):
            assert accepts(bare, wanted, root)
            continue
        shown = replace(bare, nodes=tree.below(level, index), siblings=tree.way(level, index))
        assert accepts(shown, wanted, root)
        assert not any(accepts(other, wanted, root) for other in spoilt(shown))


def _spoilt_chunks(shown: Shown, rest: random.Random) -> Iterator[Shown]:
    chunks = shown.chunks
    for place in {0, len(chunks) - 1, rest.randrange(len(chunks))}:
        yield replace(shown, chunks=chunks[:place] + bytes([chunks[place] ^ 1]) + chunks[place + 1 :])
    yield replace(shown, chunks=chunks[:-1])
    yield replace(shown, chunks=chunks + b"\x00")
    yield replace(shown, length=shown.length + 1)
    yield replace(shown, length=shown.length - 1)
    yield replace(shown, siblings=(*shown.siblings, bytes(32)))
    if shown.siblings:
        yield replace(shown, siblings=shown.siblings[1:])


@pytest.mark.parametrize("most", [pytest.param(6, id="few"), pytest.param(12, id="many", marks=pytest.mark.slow)])
def test_every_opening_of_every_tree_leads_to_its_root(most: int) -> None:
    """For every set of leaves: with the hashes that follow from nothing else it gives the root, and only so."""
    rest = random.Random(5)
    for count in range(1, most + 1):
        tree = PaddedTree(hashes(rest, count))
        for chosen in range(1 << count):
            indices = [index for index in range(count) if chosen >> index & 1]
            nodes, siblings = [tree.rows[0][index] for index in indices], _hashes_beside(tree, indices)
            assert _opened(count, indices, nodes, siblings) == tree.root
            for place in range(len(nodes)):
                assert _opened(count, indices, _changed(nodes, place), siblings) != tree.root
            for place in range(len(siblings)):
                assert _opened(count, indices, nodes, _changed(siblings, place)) != tree.root
            assert _opened(count, indices, nodes, [*siblings, bytes(32)]) is None
            assert not siblings or _opened(count, indices, nodes, siblings[:-1]) is None


def _opened(count: int, indices: list[int], nodes: list[bytes], siblings: list[bytes]) -> bytes | None:
    try:
        (root,) = contract("ArithmeticHarness").call(_OPENED, [count, indices, nodes, siblings], ["bytes32"])
    except Reverted as reverted:
        if reverted.name != "SiblingsMiscounted":
            raise
        return None
    return bytes(root)


def _changed(words: list[bytes], place: int) -> list[bytes]:
    return [*words[:place], bytes([*words[place][:31], words[place][31] ^ 1]), *words[place + 1 :]]


def _hashes_beside(tree: PaddedTree, indices: list[int]) -> list[bytes]:
    if not indices:
        return [tree.root]
    found, known = [], set(indices)
    for height in range(tree.depth):
        beside = sorted({index ^ 1 for index in known} - known)
        found += [tree.rows[height][index] for index in beside if index << height < tree.count]
        known = {index >> 1 for index in known}
    return found


@BOUNDS
def test_every_payload_by_its_chunks_has_its_root(most: int) -> None:
    """The tree over a payload's bytes is the one that is disclosed and opened."""
    rest = random.Random(6)
    for count, last in product(range(1, most + 1), (1, 31, 32, 33, 1023, 1024)):
        value = value_of_chunks(count, last, rest)
        payload = b"\x01\x02\x01" + len(value.data).to_bytes(4) + value.data
        (root,) = contract("PayloadHarness").call("root(bytes)", [payload], ["bytes32"])
        assert bytes(root) == seal_payload(value.root, len(value.data))
