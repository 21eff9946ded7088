from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.support.accounts import Account
from tests.support.assertions import reverts
from tests.support.chain import Chain
from tests.support.graphs import build
from tests.support.programs import program as made_of
from tests.support.programs import step, tensor, unary, value
from tests.support.referee_chain import Case, referee_chain
from tests.support.referee_elements import array_of

import sworn
from sworn.codec.hashing import model_id
from sworn.errors import RunNotFinite
from sworn.model.program import Contract, Function, Pointwise
from sworn.referee import FaultKind, check
from sworn.testing import gallery
from sworn.types import DType
from sworn.verification import Trace
from sworn.verification.proving import prove

NAN, ONE, TWO, MINUS_ONE = 0x7FC00000, 0x3F800000, 0x40000000, 0xBF800000
#: 3 · 2**126, whose inverse has a bound of profile `bounded` that is a float: (2**21 + 1) / 3 · 2**-147 + 2**-147.
THRICE = 0x7F400000
ON_THE_BOUND = ((2**21 + 1) // 3 + 1) << 2


def cumulative(*, exclusive: int, reverse: int) -> bytes:
    """Running sums along rows of five."""
    node = helper.make_node("CumSum", ["x", "axis"], ["y"], exclusive=exclusive, reverse=reverse)
    axis = numpy_helper.from_array(np.array(1, dtype=np.int64), "axis")
    return build([node], [("x", TensorProto.FLOAT, (2, 5))], [("y", TensorProto.FLOAT, (2, 5))], [axis])


@pytest.mark.parametrize(("exclusive", "reverse"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_running_sums_in_either_direction_are_judged_as_python_judges_them(exclusive: int, reverse: int) -> None:
    """A window that falls against its index, as CumSum's do, counts the same terms on chain, to its very edges."""
    model = sworn.compile_model(cumulative(exclusive=exclusive, reverse=reverse))
    data = np.arange(1, 11, dtype=np.float32).reshape(2, 5) / np.float32(3)
    trace = model.trace({"x": data})
    number = next(k for k, each in enumerate(model.program.steps) if isinstance(each.body, Contract))
    body = model.program.steps[number].body
    assert isinstance(body, Contract)
    clips = [each.clip for each in body.reductions if each.clip is not None]
    assert len(clips) == 1
    assert clips[0].dilation * clips[0].step < 0
    for index in range(10):
        proof = prove(trace, kind=FaultKind.ELEMENT, value=1 + number, index=index)
        assert referee_chain().check(proof).faulty is False
    right = np.asarray(trace.values[1 + number]).reshape(-1)
    for index, dilation in itertools.product(range(10), (clips[0].dilation, -clips[0].dilation)):
        turned = replace(
            body,
            reductions=tuple(
                each if each.clip is None else replace(each, clip=replace(each.clip, dilation=dilation))
                for each in body.reductions
            ),
        )
        turned_step = replace(model.program.steps[number], body=turned)
        case = Case(
            program=made_of((tensor((2, 5)),), (turned_step,)),
            inputs=[data],
            weights=(),
            index=index,
            claimed=int(right[index : index + 1].view(np.uint32)[0]),
        )
        assert case.asked().faulty == case.expected()


@pytest.mark.parametrize(
    ("condition", "operands"), [(1, (ONE, NAN)), (0, (NAN, ONE)), (1, (NAN, ONE)), (0, (ONE, NAN))]
)
def test_choice_with_a_nan_operand_has_no_value(condition: int, operands: tuple[int, int]) -> None:
    """Neither referee lets a NaN pass that WHERE would not take: whatever is claimed convicts."""
    body = Pointwise(function=Function.WHERE, operands=(value(0, (1,)), value(1, (1,)), value(2, (1,))))
    made = made_of((tensor((1,), DType.BOOL), tensor((1,)), tensor((1,))), (step(body, (1,)),))
    inputs = [np.array([bool(condition)]), *(array_of([bits], DType.FLOAT32) for bits in operands)]
    for claimed in (0, ONE):
        case = Case(program=made, inputs=inputs, weights=(), index=0, claimed=claimed)
        with pytest.raises(RunNotFinite):
            case.value()
        assert case.asked().faulty is True


def test_choice_between_numbers_has_the_taken_one() -> None:
    """An operand that is no NaN is passed by."""
    body = Pointwise(function=Function.WHERE, operands=(value(0, (1,)), value(1, (1,)), value(2, (1,))))
    made = made_of((tensor((1,), DType.BOOL), tensor((1,)), tensor((1,))), (step(body, (1,)),))
    inputs = [np.array([False]), array_of([0x7F800000], DType.FLOAT32), array_of([ONE], DType.FLOAT32)]
    for claimed, faulty in ((ONE, False), (0x7F800000, True)):
        case = Case(program=made, inputs=inputs, weights=(), index=0, claimed=claimed)
        assert case.asked().faulty is case.expected() is faulty


@pytest.mark.parametrize(("claimed", "faulty"), [(ON_THE_BOUND, False), (ON_THE_BOUND + 1, True)])
def test_inverse_exactly_on_its_bound_is_admitted(claimed: int, faulty: bool) -> None:
    """A rational power that lies on its bound is decided, on chain as in Python: the bound itself is right."""
    made = unary(Function.POW, 1, alpha=-1.0)
    inputs = [array_of([THRICE], DType.FLOAT32)]
    case = Case(program=made, inputs=inputs, weights=(), index=0, claimed=claimed, bounded=True)
    assert case.expected() is faulty
    assert case.asked().faulty is faulty


@pytest.mark.parametrize("alpha", [-1.0, -2.0, -0.5, -3.0, -1.5])
def test_inverse_powers_near_their_bounds_are_judged_alike(alpha: float) -> None:
    """Denominators that divide 2^21 + 1 or 2^21 - 1 and others, of every size and sign: chain and Python agree."""
    generator = np.random.default_rng(7)
    made = unary(Function.POW, 1, alpha=alpha)
    for odd in (3, 7, 9, 49, 127, 129, 387, 5, 1849):
        for exponent in generator.integers(-140, 100, size=3).tolist():
            bits = int(np.float32(np.ldexp(float(odd), exponent)).view(np.uint32))
            inputs = [array_of([bits], DType.FLOAT32)]
            exact = Case(program=made, inputs=inputs, weights=(), index=0, claimed=0).value()
            for away in (-9, -8, -4, -1, 1, 4, 7, 8, 9):
                claimed = exact + away
                if not 0 <= claimed <= 0x7F800000:
                    continue
                case = Case(program=made, inputs=inputs, weights=(), index=0, claimed=claimed, bounded=True)
                assert case.asked().faulty == case.expected(), (hex(bits), hex(claimed))


def test_claim_that_an_approximation_cannot_decide_reverts(chain: Chain, deployer: Account) -> None:
    """Where a verdict hangs on bits that are not known, there is none: neither conviction nor acquittal."""
    harness = chain.deploy("NearnessHarness", by=deployer)
    sine = int(Function.SIN)
    # sin(x) somewhere between 1/2 and 1: nobody knows whether 1/2 may stand for it.
    with reverts("RoundingUndecided", number=sine, bits=0x3F000000):
        harness.call("admits", sine, 0x3F000000, 1, 2, -1)
    assert harness.call("admits", sine, 0x3F000000, 1, 1, -1)
    assert not harness.call("admits", sine, TWO, 1, 2, -1)


@pytest.mark.parametrize("limits", [b"\x00" * 32, b"\xff" * 32])
def test_bounds_are_the_same_whatever_limits_a_publisher_states(limits: bytes) -> None:
    """A publisher with a tiny or a huge tolerance convicts no honest run and shields no lie: limits are not read."""
    model = sworn.compile_model(gallery.load("logistic"), profile="bounded")
    inputs = gallery.rows("logistic")[0].inputs
    trace = model.trace(inputs)
    number = next(k for k, each in enumerate(model.program.steps) if isinstance(each.body, Contract))
    value_number = len(model.program.inputs) + number
    lie = [np.array(each, copy=True) for each in trace.values]
    lie[value_number].reshape(-1)[0] += np.float32(1)
    for run, faulty in ((trace, False), (Trace.of(model.subject, lie), True)):
        proof = prove(run, kind=FaultKind.ELEMENT, value=value_number, index=0)
        stated = replace(proof.model, limits_hash=limits)
        statement = replace(proof.statement, model_id=model_id(stated))
        other = replace(proof, model=stated, statement=statement, statement_digest=statement.digest())
        assert referee_chain().check(other).faulty is faulty
        assert check(other) is faulty
