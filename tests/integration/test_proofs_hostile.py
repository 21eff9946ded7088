from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.programs import program, step, tensor, value

from sworn.codec.hashing import model_id
from sworn.errors import ProofMalformed
from sworn.model.commitment import program_head
from sworn.model.encoding import encode_step
from sworn.model.identity import identify_program
from sworn.model.program import Clip, Contract, Extremum, Function, Pointwise, Program, Rank, Reduction
from sworn.referee import FaultKind, FaultProof, check, decode_proof
from sworn.referee.proof import ProgramOpening
from sworn.types import DType, Profile, Schema, TensorSpec
from sworn.verification import Subject, Trace

#: A clip along an axis that does not exist.
NOWHERE = Clip(axis=3, step=0, dilation=1, origin=0, extent=1)


def committed(made: Program, inputs: list[Any], output: Any, *, profile: Profile) -> FaultProof:
    """A proof against a program that nobody would have committed to, since it is not valid."""
    kinds = [TensorSpec(name=f"in{n}", dtype=each.dtype, shape=each.shape) for n, each in enumerate(made.inputs)]
    schema = Schema(inputs=tuple(kinds), outputs=tuple(kinds))
    record = identify_program(b"", program=made, weight_roots=(), schema=schema, profile=profile)
    subject = Subject(
        model=record,
        model_id=model_id(record),
        schema=schema,
        program=made,
        weights=(),
        weight_roots=(),
        weight_trees=(),
        step_names=("step",),
    )
    values = [*inputs, output]
    numbers = tuple(range(len(values)))
    lie = Trace.of(subject, values)
    head = program_head(made)
    opened = ProgramOpening(head=head, interface=b"", step=(0, encode_step(made, 0)), siblings=())
    chunks = lie.open_chunks(dict.fromkeys(numbers, (0,)))
    return FaultProof(
        kind=FaultKind.ELEMENT,
        statement=lie.statement,
        statement_digest=lie.statement.digest(),
        model=record,
        value=len(inputs),
        index=0,
        witness=0 if isinstance(made.steps[0].body, Extremum) else None,
        program=opened,
        values=chunks,
        weights=None,
    )


@pytest.mark.parametrize("profile", [Profile.EXACT, Profile.BOUNDED])
@pytest.mark.parametrize(
    "body",
    [
        Pointwise(function=Function.NEG, operands=(value(0, (1,), offset=3),)),
        Pointwise(function=Function.NEG, operands=(value(0, (1,), offset=-9),)),
        Pointwise(function=Function.EXP, operands=(value(0, (1,), offset=3),)),
        Pointwise(function=Function.DIV, operands=(value(0, (1,)),)),
        Pointwise(function=Function.TANH, operands=(value(0, (1,)), value(0, (1,)))),
        Rank(source=value(0, (0,)), extent=1 << 31, stride=0, axis=0, largest=True),
        Rank(source=value(0, (0,)), extent=1, stride=0, axis=7, largest=True),
        Contract(left=value(0, (0,)), reductions=(Reduction(extent=1 << 31, left_stride=0),)),
        Contract(left=value(0, (0,)), reductions=(Reduction(extent=0, left_stride=0),), divisor=0),
        Contract(
            left=value(0, (0,)),
            reductions=(Reduction(extent=2, left_stride=0, clip=Clip(axis=3, step=0, dilation=1, origin=0, extent=1)),),
        ),
        Extremum(source=value(0, (0,)), reductions=(Reduction(extent=1 << 31, left_stride=1),), largest=True),
        Extremum(
            source=value(0, (0,)),
            reductions=(Reduction(extent=2, left_stride=0, clip=Clip(axis=3, step=0, dilation=1, origin=0, extent=1)),),
            largest=False,
        ),
    ],
)
def test_proof_against_a_program_that_is_not_valid_neither_convicts_nor_hangs(body: Any, profile: Profile) -> None:
    """Whoever registers nonsense can bind nobody to it, and cannot make a referee work without end."""
    is_index = isinstance(body, Rank | Extremum)
    made = program((tensor((3,)),), (step(body, (3,), DType.INT64 if is_index else DType.FLOAT32),))
    output = np.zeros(3, dtype=np.int64 if is_index else np.float32)
    assert not check(committed(made, [np.ones(3, dtype=np.float32)], output, profile=profile))


@given(st.binary(max_size=400))
def test_decoding_of_any_bytes_as_a_proof_raises_one_error(data: bytes) -> None:
    """Bytes from strangers: refused, whatever they are."""
    for prefix in (b"", b"\x01\x01", b"\x01\x01" + bytes(327)):
        with suppress(ProofMalformed):
            assert not check(decode_proof(prefix + data))
