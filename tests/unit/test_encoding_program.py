from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.programs import convolution, matmul, program, step, tensor, unary, value
from tests.support.subjects import every_rule

from sworn.errors import ModelError, ModelMalformed, ModelUnsupported
from sworn.model.commitment import array_roots, program_root, weights_root
from sworn.model.encoding import (
    decode_interface,
    decode_program,
    decode_step,
    encode_interface,
    encode_program,
    encode_step,
)
from sworn.model.limits import Limits, limits_of
from sworn.model.program import Contract, Function, Pointwise, Program, Reduction
from sworn.types import Profile

#: Changes only together with `PROGRAM_VERSION`, or with the program in `every_rule`.
GOLDEN = {
    "program": "6f8e00869969176d8e0eb6a6d00bfe990e6ec3ce085202aec18d5f9bcddb4ac9",
    "weights": "1a9e63b88d17ebb2ec2c52497b7ea29e48fdad6c83f7549b68542098009d83f7",
    "exact": "6ff0ebab4d2a60d879c7ae5b9c2a1832b23c03673dad2e8f4ffe1b865c7bbec3",
    "bounded": "479bcaf055caff6ae970317a45af8edd04842c2f12d55392204e40de020d0521",
}


def changed(made: Program, **fields: object) -> Program:
    """The program with other fields in the body of its first step."""
    first = made.steps[0]
    return replace(made, steps=(replace(first, body=replace(first.body, **fields)), *made.steps[1:]))  # type: ignore[arg-type]


def test_program_root_and_others_match_the_golden_ones() -> None:
    """Encoding and commitments may not change unnoticed: registered models are known by them."""
    made, weights = every_rule()
    assert {
        "program": program_root(made).hex(),
        "weights": weights_root(array_roots(weights)).hex(),
        "exact": limits_of(Profile.EXACT).to_hash().hex(),
        "bounded": limits_of(Profile.BOUNDED).to_hash().hex(),
    } == GOLDEN


@pytest.mark.parametrize(
    "made", [every_rule()[0], matmul(2, 3, 4, lower=0.0), convolution(5, 2, 4), unary(Function.CLIP, 3, alpha=-0.0)]
)
def test_program_through_its_bytes_comes_back_equal(made: Program) -> None:
    """Encoding loses nothing, and what is read back encodes to the same bytes."""
    data = encode_program(made)
    assert decode_program(data) == made
    assert encode_program(decode_program(data)) == data


def test_step_through_its_bytes_comes_back_with_the_types_it_reads() -> None:
    """A step alone says what its operands are."""
    made, _ = every_rule()
    for number, stated in enumerate(made.steps):
        record = decode_step(encode_step(made, number))
        assert record.step == stated
        for (space, tensor_number), kind in record.types.items():
            actual = made.weights[tensor_number] if space else made.value(tensor_number)
            assert (kind.dtype, kind.elements) == (actual.dtype, actual.elements)


def test_interface_through_its_bytes_comes_back_with_the_types_of_outputs() -> None:
    """Whoever links outputs needs no step."""
    made, _ = every_rule()
    interface = decode_interface(encode_interface(made))
    assert (interface.inputs, interface.weights) == (made.inputs, made.weights)
    assert [(number, seen.shape) for number, seen in interface.outputs] == [
        (output.value, output.shape) for output in made.outputs
    ]
    assert all(seen.dtype is made.value(number).dtype for number, seen in interface.outputs)


def test_decoding_of_changed_bytes_is_refused_or_means_something_else() -> None:
    """No two encodings of one program: cut, longer and changed bytes never give the same program."""
    made, _ = every_rule()
    data = encode_program(made)
    for bad in (data[:-4], data + bytes(4), data[:-1], b"", data[:7]):
        with pytest.raises(ModelMalformed):
            decode_program(bad)
    for position in range(0, len(data), 13):
        mutated = bytearray(data)
        mutated[position] ^= 1 << position % 8
        try:
            assert decode_program(bytes(mutated)) != made
        except ModelError:
            continue


def test_program_roots_of_programs_that_differ_anywhere_differ() -> None:
    """Every field of a step is bound."""
    made = matmul(2, 3, 4)
    body = made.steps[0].body
    assert isinstance(body, Contract)
    others = [
        changed(made, divisor=2),
        changed(made, lower=0.0),
        changed(made, upper=0.0),
        changed(made, left=replace(body.left, offset=1)),
        changed(made, bias=None),
        replace(made, outputs=(replace(made.outputs[0], shape=(8,)),)),
        replace(made, steps=(replace(made.steps[0], virtual=True),)),
        replace(made, steps=(*made.steps, *made.steps)),
    ]
    assert len({program_root(each) for each in (made, *others)}) == len(others) + 1


def test_encoding_of_numbers_that_do_not_fit_raises() -> None:
    """Words have 32 bits, parameters are float32."""
    made = matmul(2, 3, 4)
    body = made.steps[0].body
    assert isinstance(body, Contract)
    for bad in (changed(made, divisor=1 << 32), changed(made, left=replace(body.left, offset=1 << 31))):
        with pytest.raises(ModelUnsupported):
            encode_program(bad)
    with pytest.raises(ModelUnsupported):
        encode_program(unary(Function.LEAKY_RELU, 3, alpha=0.1))


def test_limits_by_profile_differ_and_refuse_what_is_larger() -> None:
    """The tolerance is part of the identity; a profile without programs has no limits."""
    assert limits_of(Profile.EXACT).to_hash() != limits_of(Profile.BOUNDED).to_hash()
    with pytest.raises(ModelUnsupported):
        limits_of(Profile.SIGNED)
    made = matmul(2, 3, 4)
    Limits().check(made)
    for small in (Limits(max_trace_bytes=55), Limits(max_step_bytes=64), Limits(max_proof_bytes=3000)):
        with pytest.raises(ModelUnsupported):
            small.check(made)
    # A sum down a column opens a chunk per term, a sum along a row does not.
    rows, columns = (
        Contract(left=value(0, (stride,)), reductions=(Reduction(extent=1000, left_stride=other),))
        for stride, other in ((1000, 1), (1, 1000))
    )
    Limits().check(program([tensor((1000, 1000))], (step(rows, (1000,)),)))
    with pytest.raises(ModelUnsupported):
        Limits().check(program([tensor((1000, 1000))], (step(columns, (1000,)),)))
    sum_of_many = Pointwise(function=Function.ADD, operands=(value(0, (1,)), value(64, (1,))))
    with pytest.raises(ModelUnsupported):
        Limits().check(program([tensor((1,))] * 65, (step(sum_of_many, (1,)),)))
