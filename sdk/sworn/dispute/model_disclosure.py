"""What an operator shows of a model, and whether it leads to the model id; twin of `contracts/TraceVerifier.sol`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from sworn.codec.hashing import model_id
from sworn.codec.model_disclosures import (
    ProgramDisclosure,
    decode_program_disclosure,
    decode_weights_disclosure,
    encode_program_disclosure,
    encode_weights_disclosure,
)
from sworn.codec.trees import tree_levels
from sworn.dispute.disclosure import (
    Showable,
    check_tensors,
    check_way,
    is_of_trace,
    part_of_tensors,
    shown_tensors,
    way_up,
)
from sworn.errors import CodecError, DisclosureInvalid, TraceCorrupt
from sworn.model.commitment import ProgramHead, interface_hash, seal_weights, step_leaf
from sworn.types import ZERO_HASH, Disclosure, Model, ModelId, Part, Target


class Exhibit(Protocol):
    """A model as its operator shows it, in memory or in files."""

    @property
    def model(self) -> Model:
        """Its record."""
        ...

    @property
    def weights(self) -> Showable:
        """Its weights, as the values of a trace."""
        ...

    @property
    def inputs(self) -> int:
        """Values that its program takes."""
        ...

    @property
    def interface(self) -> bytes:
        """The encoded interface of its program."""
        ...

    @property
    def steps(self) -> Sequence[bytes]:
        """Its encoded steps."""
        ...


def show_model(exhibit: Exhibit, target: Target) -> bytes:
    """What answers a demand for a part of a model: the bytes that `DisputeGame.disclose` takes.

    Raises `TraceCorrupt` where the exhibit does not lead to the model's own id.
    """
    model = exhibit.model
    if target.part in (Part.STEPS, Part.INTERFACE):
        data = encode_program_disclosure(model, _shown_program(exhibit, target))
    else:
        shown = shown_tensors(exhibit.weights, replace(target, part=part_of_tensors(target.part)))
        data = encode_weights_disclosure(model, shown)
    try:
        # INVARIANT: what damage on disk has changed is never shown: a contract would refuse it, at our expense.
        check_model(data, target, model_id(model))
    except DisclosureInvalid as error:
        raise TraceCorrupt(f"the exhibit of the model is damaged: {error}") from error
    return data


def check_model(data: bytes, target: Target, expected: ModelId) -> Disclosure | ProgramDisclosure:
    """Checks that encoded bytes show what was demanded of the model with an id, and gives it.

    Raises `DisclosureInvalid`, and `CodecError` for bytes that nobody can read.
    """
    if is_of_trace(target.part):
        raise CodecError(f"{target.part.name} is no part of a model")
    if target.part in (Part.STEPS, Part.INTERFACE):
        model, program = decode_program_disclosure(data)
        _require_model(model, expected)
        _check_program(program, target, model.program_root)
        return program
    model, shown = decode_weights_disclosure(data)
    _require_model(model, expected)
    of_trace = replace(target, part=part_of_tensors(target.part))
    check_tensors(shown, of_trace, model.weights_root, seal=seal_weights)
    return shown


def _require_model(model: Model, expected: ModelId) -> None:
    if model_id(model) != expected:
        raise DisclosureInvalid("what is shown is of another model")


def _shown_program(exhibit: Exhibit, target: Target) -> ProgramDisclosure:
    steps = exhibit.steps
    levels = tree_levels(b"".join(map(step_leaf, steps)))
    shown = ProgramDisclosure(
        inputs=exhibit.inputs,
        steps=len(steps),
        interface_hash=interface_hash(exhibit.interface),
        steps_tree=levels[-1],
    )
    if target.part is Part.INTERFACE:
        return replace(shown, content=exhibit.interface)
    if target.index >= len(steps):
        return shown
    return replace(shown, content=steps[target.index], siblings=way_up(levels, len(steps), 0, target.index))


def _check_program(shown: ProgramDisclosure, target: Target, program_root: bytes) -> None:
    head = ProgramHead(inputs=shown.inputs, steps=shown.steps, interface_hash=shown.interface_hash)
    if head.root(shown.steps_tree) != program_root:
        raise DisclosureInvalid("what is shown is of another program")
    if shown.steps == 0 and shown.steps_tree != ZERO_HASH:
        raise DisclosureInvalid("what is empty has another root than it must have")
    if target.part is Part.INTERFACE:
        if interface_hash(shown.content) != shown.interface_hash:
            raise DisclosureInvalid("what is shown is not the interface")
    elif target.index < shown.steps:
        leaf = step_leaf(shown.content)
        check_way(leaf, target.index, shown.siblings, level=0, leaves=shown.steps, tree=shown.steps_tree)
