from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
from tests.support.court import ShownTrace
from tests.support.subjects import compiled, every_rule
from tests.support.trace_verifier import TraceVerifierChain

from sworn.codec.dispute_structs import decode_disclosure, encode_disclosure
from sworn.codec.trees import depth_of, leaf_hash, node_hash, seal_data
from sworn.dispute.disclosure import check, is_plausible, show
from sworn.dispute.model_disclosure import check_model, show_model
from sworn.errors import CodecError, DisclosureInvalid
from sworn.model.commitment import seal_trace
from sworn.model.exhibit_file import ExhibitFile, write_exhibit
from sworn.types import Disclosure, ModelId, Part, Target

#: Sizes of values: nothing, one chunk, whole groups, one byte over them, several levels of groups.
SIZES: Final = (0, 1, 1023, 1024, 1025, 8 * 1024, 16 * 1024, 16 * 1024 + 1, 33 * 1024 + 7, 300 * 1024 + 11)
TRACE_PARTS: Final = (Part.VALUES, Part.NODES, Part.CHUNKS)
MODEL_PARTS: Final = tuple(part for part in Part if part not in TRACE_PARTS)
HASH: Final = b"\x77" * 32


@cache
def verifier() -> TraceVerifierChain:
    """The contract; calls leave nothing behind."""
    return TraceVerifierChain()


def accepted(data: bytes, target: Target, root: bytes) -> bool:
    """Whether the SDK takes encoded bytes for an answer."""
    try:
        check(decode_disclosure(data), target, root)
    except CodecError:
        return False
    return True


def random_trace(dice: random.Random) -> ShownTrace:
    """Some values of typical sizes."""
    return ShownTrace([dice.randbytes(dice.choice(SIZES)) for _ in range(dice.choice((0, 1, 2, 3, 16, 17, 40)))])


def random_target(trace: ShownTrace, dice: random.Random) -> Target:
    """A demand for something that the trace has, or nearly has."""
    part, count = dice.choice(TRACE_PARTS), len(trace.values)
    value = 0 if part is Part.VALUES else dice.randrange(count + 1)
    leaves = count if part is Part.VALUES or value == count else -(-trace.lengths[value] // 1024)
    level = 0 if part is Part.CHUNKS else dice.randrange(depth_of(leaves) + 2)
    width = (leaves >> (4 if part is Part.CHUNKS else level)) + 2
    return Target(part=part, value=value, level=level, index=dice.randrange(width))


def mutants(shown: Disclosure, dice: random.Random) -> Iterator[Disclosure]:
    """The same with every field changed, one at a time."""
    for field in fields(shown):
        value: Any = getattr(shown, field.name)
        if isinstance(value, int):
            changes: list[Any] = [value + 1, max(value - 1, 0), value * 2]
        elif isinstance(value, tuple):
            changes = [(*value, HASH), value[:-1], value[::-1], (HASH, *value[1:])]
        elif field.name == "chunks":
            changes = [value + b"\x00", value[:-1], value[1:] + value[:1], value[:1024]]
        else:
            changes = [HASH]
        yield replace(shown, **{field.name: dice.choice(changes)})


def model_accepted(data: bytes, target: Target, model_id: ModelId) -> bool:
    """Whether the SDK takes encoded bytes for an answer about a model."""
    try:
        check_model(data, target, model_id)
    except CodecError:
        return False
    return True


def random_model_target(exhibit: ExhibitFile, dice: random.Random) -> Target:
    """A demand for something that the model has, or nearly has."""
    part = dice.choice(MODEL_PARTS)
    if part in (Part.STEPS, Part.INTERFACE):
        return Target(part=part, index=dice.randrange(len(exhibit.steps) + 2) if part is Part.STEPS else 0)
    count = len(exhibit.weights.lengths)
    value = 0 if part is Part.WEIGHTS else dice.randrange(count + 1)
    leaves = count if part is Part.WEIGHTS else 1
    level = 0 if part is Part.WEIGHT_CHUNKS else dice.randrange(depth_of(leaves) + 2)
    return Target(part=part, value=value, level=level, index=dice.randrange((leaves >> level) + 2))


@pytest.mark.parametrize("seed", range(40))
def test_disclosure_and_its_mutants_are_judged_as_by_the_contract(seed: int) -> None:
    """What the SDK shows, both accept; whatever is changed in it, they agree."""
    dice = random.Random(seed)
    trace = random_trace(dice)
    assert verifier().root_of(trace.data_roots) == trace.root
    for _ in range(4):
        target = random_target(trace, dice)
        shown = show(trace, target)
        data = encode_disclosure(shown)
        assert accepted(data, target, trace.root) and verifier().accepts(data, target, trace.root)
        assert not accepted(data, target, HASH) and not verifier().accepts(data, target, HASH)
        for mutant in mutants(shown, dice):
            data = encode_disclosure(mutant)
            assert accepted(data, target, trace.root) is verifier().accepts(data, target, trace.root), mutant
        other = random_target(trace, dice)
        data = encode_disclosure(shown)
        assert accepted(data, other, trace.root) is verifier().accepts(data, other, trace.root), other


@pytest.mark.parametrize("seed", range(10))
def test_garbled_disclosure_bytes_are_read_as_by_the_contract(seed: int) -> None:
    """Bits flipped, ends cut off, something appended, offsets moved: neither side reads what the other does not."""
    dice = random.Random(seed)
    trace = ShownTrace([dice.randbytes(size) for size in (5000, 100, 20_000)])
    target = Target(part=dice.choice((Part.NODES, Part.CHUNKS)), value=0)
    data = encode_disclosure(show(trace, target))
    verdicts = set()
    for _ in range(60):
        garbled = bytearray(data)
        kind = dice.randrange(4)
        if kind == 0:
            garbled[dice.randrange(len(garbled))] ^= 1 << dice.randrange(8)
        elif kind == 1:
            del garbled[-dice.randrange(1, 64) :]
        elif kind == 2:
            garbled += dice.randbytes(dice.randrange(64))
        else:
            garbled[32 * dice.randrange(9) + 31] ^= 1 << dice.randrange(8)
        verdict = accepted(bytes(garbled), target, trace.root)
        assert verdict is verifier().accepts(bytes(garbled), target, trace.root)
        verdicts.add(verdict)
    assert verdicts == {True, False}


def test_disclosure_with_shared_and_unpadded_fields_is_read_as_by_the_contract() -> None:
    """An operator may show in bytes that no encoder writes: arrays that share their place, data without padding."""
    trace = ShownTrace([b"\x11" * 5])
    target = Target(part=Part.CHUNKS, value=0)
    shown = show(trace, target)
    heads: list[int | bytes] = [shown.values, shown.values_tree, 256, shown.length, shown.chunks_tree, 256, 288, 256]
    words = [head if isinstance(head, bytes) else head.to_bytes(32) for head in heads]
    data = b"".join([(32).to_bytes(32), *words, bytes(32), (5).to_bytes(32), b"\x11" * 5])
    assert decode_disclosure(data) == shown
    assert accepted(data, target, trace.root) and verifier().accepts(data, target, trace.root)
    assert not accepted(data[:-1], target, trace.root) and not verifier().accepts(data[:-1], target, trace.root)


@pytest.mark.parametrize("part", list(Part))
def test_plausible_targets_are_those_of_the_contract(part: Part) -> None:
    """Levels and values at their bounds."""
    for value in (0, 1, 2**32 - 1):
        for level in (0, 1, 32, 33, 255):
            target = Target(part=part, value=value, level=level, index=2**32 - 1)
            assert is_plausible(target) is verifier().is_plausible(target)


@pytest.mark.parametrize("seed", range(12))
def test_disclosure_of_model_and_its_mutants_are_judged_as_by_the_contract(seed: int, tmp_path: Path) -> None:
    """Weights, steps and interface, from files: what the SDK shows, both accept; whatever is changed, they agree."""
    dice = random.Random(seed)
    program, weights = every_rule()
    model = compiled(program, weights)
    write_exhibit(tmp_path, program, weights, model_id=model.model_id)
    exhibit = ExhibitFile.load(tmp_path, model.model)
    for _ in range(12):
        target = random_model_target(exhibit, dice)
        data = show_model(exhibit, target)
        assert verifier().accepts(data, target, model.model_id)
        check_model(data, target, model.model_id)
        assert not verifier().accepts(data, target, HASH)
        other = random_model_target(exhibit, dice)
        assert model_accepted(data, other, model.model_id) is verifier().accepts(data, other, model.model_id)
        for _ in range(8):
            garbled = bytearray(data)
            garbled[dice.randrange(len(garbled))] ^= 1 << dice.randrange(8)
            verdict = verifier().accepts(bytes(garbled), target, model.model_id)
            assert model_accepted(bytes(garbled), target, model.model_id) is verdict


@pytest.mark.parametrize("garbage", [HASH, None])
def test_tree_with_something_under_missing_leaves_cannot_be_shown(garbage: bytes | None) -> None:
    """33 chunks have a fourth group of 16 without any leaf: its root is what it must be, or nothing is shown."""
    chunk, missing = b"\x01" * 1024, [bytes(32)]
    for _ in range(5):
        missing.append(node_hash(missing[-1], missing[-1]))
    group = leaf_hash(chunk)
    for height in range(4):
        group = node_hash(group, missing[height])
    sibling = garbage or missing[4]
    tree = node_hash(HASH, node_hash(group, sibling))
    root = seal_data(33 * 1024, tree)
    shown = Disclosure(
        values=1, values_tree=root, length=33 * 1024, chunks_tree=tree, chunks=chunk, siblings=(sibling, HASH)
    )
    target, trace_root = Target(part=Part.CHUNKS, value=0, index=2), seal_trace(1, root)
    verdict = accepted(encode_disclosure(shown), target, trace_root)
    assert verdict is verifier().accepts(encode_disclosure(shown), target, trace_root) is (garbage is None)


@pytest.mark.parametrize("tree", [HASH, bytes(32)])
def test_emptiness_with_another_root_cannot_be_shown(tree: bytes) -> None:
    """A value without bytes, and a trace without values, have one root each."""
    data = seal_data(0, tree)
    value = Disclosure(values=1, values_tree=data, chunks_tree=tree)
    nothing = Disclosure(values=0, values_tree=tree)
    cases = (
        (value, Target(part=Part.NODES, value=0), seal_trace(1, data)),
        (value, Target(part=Part.CHUNKS, value=0), seal_trace(1, data)),
        (nothing, Target(part=Part.VALUES), seal_trace(0, tree)),
    )
    for shown, target, root in cases:
        verdict = accepted(encode_disclosure(shown), target, root)
        assert verdict is verifier().accepts(encode_disclosure(shown), target, root) is (tree == bytes(32))


def test_target_far_beyond_any_trace_is_answered_as_the_contract_takes_it() -> None:
    """Indices of 32 bits at every level: nothing overflows, and sizes and roots are the answer."""
    trace = ShownTrace([bytes(70_000)])
    for part in TRACE_PARTS:
        for level in (0, 5, 32):
            target = Target(part=part, value=0, level=0 if part is Part.CHUNKS else level, index=2**32 - 1)
            shown = show(trace, target)
            assert not shown.nodes and not shown.chunks
            assert verifier().accepts(encode_disclosure(shown), target, trace.root)


def test_hashes_of_another_length_are_refused() -> None:
    """Joined hashes must not pass for others that are cut at another place."""
    trace = ShownTrace([bytes(70_000)])
    target = Target(part=Part.NODES, value=0, level=5)
    shown = show(trace, target)
    joined = b"".join(shown.nodes)
    cut = replace(shown, nodes=(joined[:31], joined[31:64], *shown.nodes[2:]))
    with pytest.raises(DisclosureInvalid):
        check(cut, target, trace.root)
