"""Runs an answer again and says what came of it: the work behind `Client.verify`, without I/O but for trace files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sworn.client.identities import artifact_of
from sworn.client.records import ModelLike
from sworn.client.verdicts import Difference, Verdict, Verification
from sworn.client.verification import Proposal, Requested
from sworn.codec.hashing import model_id as id_of
from sworn.codec.payload import reference_of
from sworn.codec.tensors import decode_payload, decode_tensors, encode_tensors
from sworn.codec.trees import payload_root
from sworn.errors import ArtifactCorrupt, CodecError, ConfigurationError, EngineError
from sworn.model import schema_of
from sworn.types import ZERO_HASH, InputShapes, Model, ModelId, Profile, Status, Tensors, TensorSpec
from sworn.verification import CompiledModel, Trace
from sworn.verification.trace import same_bits

#: A trace as `CompiledModel.trace` makes it, or the path of its file.
TraceLike = Trace | str | os.PathLike[str]
#: Faults of a trace that a verification tells of.
_FAULTS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """An answer that is to be run again."""

    requested: Requested
    proposal: Proposal
    profile: Profile
    status: Status
    #: Whether it is the result that the request stands on now.
    stands: bool
    #: Payload of the input tensors, or the reference to them.
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Materials:
    """What the caller brings to run an answer again; what is missing is fetched."""

    #: The .onnx file or a `CompiledModel`.
    model: ModelLike | None = None
    #: The inputs by name, for a request by reference.
    inputs: Tensors | None = None
    #: Shapes that the file leaves open; by default those of the input.
    input_shapes: InputShapes | None = None
    #: The operator's.
    trace: TraceLike | None = None


def source_of(model: ModelLike) -> bytes | CompiledModel:
    """What the caller gives to run an answer again: an .onnx file or a compiled model.

    Raises `ConfigurationError` for an id, and `ModelError`.
    """
    return model if isinstance(model, CompiledModel) else artifact_of(model)


def prepared(
    subject: Subject, source: bytes | CompiledModel, materials: Materials, *, registered: Model
) -> tuple[Subject, CompiledModel]:
    """The answer with its input at hand, and the model that was asked, from a file or compiled already.

    Raises `ConfigurationError` for other inputs or another model than the answer is about, and for a request by
    reference without inputs, `ArtifactCorrupt` for a file that does not make the registered model, `CodecError` and
    `ModelError`.
    """
    specs = schema_of(source).inputs if isinstance(source, bytes) else source.schema.inputs
    subject = replace(subject, payload=_payload(subject.requested, materials.inputs, specs=specs))
    if isinstance(source, bytes):
        source = _compiled(source, registered, payload=subject.payload, input_shapes=materials.input_shapes)
    if source.model_id != id_of(registered):
        raise ConfigurationError("the compiled model is not the one that was asked")
    return subject, source


def _payload(requested: Requested, inputs: Tensors | None, *, specs: Sequence[TensorSpec]) -> bytes:
    reference = reference_of(requested.payload)
    if inputs is None and reference is not None:
        raise ConfigurationError(f"the request gives its input by reference: fetch {reference} and pass it as inputs")
    if inputs is None:
        return requested.payload
    payload = encode_tensors(inputs, specs)
    if payload_root(payload) != requested.request.input_root:
        raise ConfigurationError("these are not the inputs of the request: their root is another one")
    return payload


def _compiled(artifact: bytes, expected: Model, *, payload: bytes, input_shapes: InputShapes | None) -> CompiledModel:
    from sworn.verification.assembly import assemble

    if hashlib.sha256(artifact).digest() != expected.artifact_hash:
        raise ArtifactCorrupt("the artifact is not the registered model's")
    # Shapes that the file leaves open are those of the input.
    shapes = _open_shapes(artifact, payload) if input_shapes is None else input_shapes
    model = assemble(artifact, profile=expected.profile.name.lower(), input_shapes=shapes)
    if model.model_id != id_of(expected):
        given = ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items()) or "those of the file"
        raise ArtifactCorrupt(
            f"the file compiles to another model than the registered one, with input shapes {given}: give the shapes "
            "with which it was registered, or do not trust answers under this id"
        )
    return model


def judged(subject: Subject, model: CompiledModel, *, trace: TraceLike | None) -> Verification:
    """The answer, compared with a run here, and with an audit of the operator's trace where there is one.

    Raises `TraceError`, and `ConfigurationError` for another trace than the operator swore to.
    """
    sworn: Mapping[str, NDArray[Any]] = {}
    try:
        inputs = decode_tensors(subject.payload, model.schema.inputs)
    except CodecError as error:
        return _false(subject, f"The input is none that the model takes ({error}); no answer to it is right.")
    if payload_root(subject.payload) != subject.requested.request.input_root:
        reason = "The input that was emitted is not the one that the request commits to, so nobody can run it again."
        return _verification(subject, Verdict.UNDECIDED, reason, "Do not rely on the answer.")
    try:
        sworn = decode_tensors(subject.proposal.answer.output, model.schema.outputs)
    except CodecError as error:
        return _false(subject, f"The sworn output is none that the model gives: {error}.")
    try:
        recomputed = model.run(inputs)
    except EngineError as error:
        reason = f"The model gives this input no answer ({error}), and the operator swore one."
        return _with_trace(subject, model, trace, _false(subject, reason, sworn=sworn))
    differences = tuple(_differences(sworn, recomputed))
    if not differences:
        count = sum(array.size for array in sworn.values())
        reason = f"All {count} elements of the output are, bit for bit, what the model gives on this machine."
        found = _verification(subject, Verdict.CONFIRMED, reason, "Nothing to do.")
    else:
        found = _false(subject, f"The model gives another output here: {differences[0]}.")
    found = replace(found, differences=differences, sworn=sworn, recomputed=recomputed)
    return _with_trace(subject, model, trace, found)


def uncheckable(subject: Subject) -> Verification:
    """What can be said about an answer in profile `signed`."""
    reason = "The model's profile is signed: it promises nothing about arithmetic, so there is nothing to compare with."
    step = "Trust the operator, or ask for a model in profile exact or bounded."
    return _verification(subject, Verdict.UNCHECKABLE, reason, step)


def _with_trace(subject: Subject, model: CompiledModel, trace: TraceLike | None, found: Verification) -> Verification:
    """The verdict of the profile, after an audit of the operator's trace where there is one."""
    if trace is not None:
        faults = model.audit(sworn_trace(subject, model, trace), max_faults=_FAULTS)
        found = replace(found, faults=tuple(map(str, faults)))
        if faults:
            reason = f"The operator's trace is false: {faults[0]}."
            return replace(found, verdict=Verdict.FALSE, reason=reason, next_step=_challenge_step(subject))
    if subject.profile is Profile.EXACT or found.verdict is not Verdict.FALSE:
        return found
    what = _distance(found.differences)
    if trace is None:
        reason = (
            f"{what} Honest runs may differ in profile bounded: only the operator's trace tells whether this one is."
        )
        step = "Get the operator's trace file and verify with it, or challenge: the operator must then show its trace."
        return replace(found, verdict=Verdict.UNDECIDED, reason=reason, next_step=step)
    reason = f"{what} The operator's trace was audited: every element lies within its bound."
    return replace(found, verdict=Verdict.ADMISSIBLE, reason=reason, next_step="Nothing to do.")


def _distance(differences: tuple[Difference, ...]) -> str:
    if not differences:
        return "The model gives this input no answer on this machine."
    worst = max(differences, key=lambda each: each.largest)
    where = f"{worst.count} of {worst.elements} elements of {worst.output}"
    return f"A run on this machine differs in {where}, by at most {worst.largest:.6g}."


def sworn_trace(subject: Subject, model: CompiledModel, trace: TraceLike) -> Trace:
    """The operator's trace, held against what it swore. Raises `ConfigurationError` for another one, `TraceError`."""
    loaded = model.load_trace(trace) if isinstance(trace, str | os.PathLike) else trace
    answer = subject.proposal.answer
    if answer.trace_root not in (ZERO_HASH, loaded.root):
        raise ConfigurationError("this is not the trace that the operator swore to: its root is another one")
    return replace(loaded, input_root=subject.requested.request.input_root, output_root=payload_root(answer.output))


def _open_shapes(artifact: bytes, payload: bytes) -> InputShapes:
    """Shapes of the input tensors for those inputs of a file that leave dimensions open."""
    specs = schema_of(artifact).inputs
    if not any(None in spec.shape for spec in specs):
        return {}
    try:
        arrays = decode_payload(payload)
    except CodecError:
        return {}
    pairs = zip(specs, arrays, strict=False)
    return {spec.name: array.shape for spec, array in pairs if None in spec.shape}


def _differences(sworn: Mapping[str, NDArray[Any]], recomputed: Mapping[str, NDArray[Any]]) -> list[Difference]:
    found = []
    for name, claimed in sworn.items():
        own = np.ascontiguousarray(recomputed[name])
        places = np.flatnonzero(~same_bits(np.ascontiguousarray(claimed), own))
        if places.size:
            first = tuple(int(axis) for axis in np.unravel_index(int(places[0]), claimed.shape))
            distances = np.abs(claimed.astype(np.float64) - own.astype(np.float64))
            found.append(
                Difference(
                    output=name,
                    index=first,
                    sworn=claimed[first],
                    recomputed=own[first],
                    count=int(places.size),
                    elements=claimed.size,
                    largest=float(distances.max()),
                )
            )
    return found


def _false(subject: Subject, reason: str, *, sworn: Mapping[str, NDArray[Any]] | None = None) -> Verification:
    found = _verification(subject, Verdict.FALSE, reason, _challenge_step(subject))
    return replace(found, sworn=sworn or {})


def _challenge_step(subject: Subject) -> str:
    match subject.status if subject.stands else Status.REFUTED:
        case Status.PROPOSED:
            return "Challenge it before its window closes: `sworn dispute prove`, or `client.dispute(…, auto=True)`."
        case Status.DISPUTED:
            return "It is under challenge; join while its window is open: `sworn dispute prove`, or `client.dispute`."
        case Status.FINALIZED:
            return "It is final: nobody challenged it in time, so the contracts hold it for true. Do not rely on it."
        case _:
            return "Nothing to do: it does not stand any more."


def _verification(subject: Subject, verdict: Verdict, reason: str, next_step: str) -> Verification:
    request = subject.requested.request
    return Verification(
        verdict=verdict,
        reason=reason,
        next_step=next_step,
        request_id=subject.requested.request_id,
        result_id=subject.proposal.result_id,
        model_id=ModelId(request.model_id),
        profile=subject.profile,
        operator=subject.proposal.answer.operator,
        status=subject.status,
    )
