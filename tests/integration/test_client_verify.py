"""Answers run again by the client: what holds, what is false, what differs, and what cannot be said."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper
from tests.support import graphs
from tests.support.client_world import ETHER, PRICE_WEI, World, open_world
from tests.support.lying_operator import compiled, swear, tell_lie

import sworn
from sworn.client import RequestHandle, Verdict
from sworn.codec.tensors import decode_payload, encode_payload
from sworn.errors import ArtifactCorrupt, ConfigurationError, RequestTimeout, RequestUnknown
from sworn.testing.local_chain import ChainKind
from sworn.testing.models import load_model
from sworn.types import ZERO_HASH, ModelId, RequestId, Status
from sworn.verification import CompiledModel, Trace

#: x: float32[1, 4] → y: float32[1, 2], a product of matrices: in profile bounded its elements have room.
LINEAR = graphs.build(
    [helper.make_node("MatMul", ["x", "w"], ["y"])],
    [("x", TensorProto.FLOAT, (1, 4))],
    [("y", TensorProto.FLOAT, (1, 2))],
    [helper.make_tensor("w", TensorProto.FLOAT, [4, 2], [0.1 * number for number in range(1, 9)])],
)
INPUTS = {"x": np.array([[0.3, 1.7, -2.9, 0.7]], np.float32)}


@pytest.fixture(scope="module")
def stage() -> Iterator[World]:
    """A deployment whose operator offers the model in every profile."""
    with open_world(ChainKind.EMBEDDED) as world:
        world.enrol()
        offer(world, LINEAR, profile="bounded")
        offer(world, LINEAR, profile="signed")
        yield world


@pytest.fixture
def world(stage: World) -> Iterator[World]:
    """The stage for one test."""
    mark = stage.chain.snapshot()
    yield stage
    stage.chain.revert(mark)


@pytest.fixture(scope="module")
def bounded() -> CompiledModel:
    """A model whose output is a sum, in profile bounded."""
    return sworn.compile_model(LINEAR, profile="bounded")


def offer(world: World, model: bytes, **options: Any) -> ModelId:
    """Registers a model and posts the operator's terms for it."""
    registered = world.client(1).register_model(model, **options)
    world.client(1).operator.set_offer(
        registered, price_wei=PRICE_WEI, max_value_at_risk_wei=ETHER, max_window_s=3600, max_callback_gas=0
    )
    return registered


def ask(world: World, profile: str) -> RequestHandle:
    """A request about the linear model's row in a profile."""
    return world.client().request(model=LINEAR, inputs=INPUTS, profile=profile)


def moved(model: CompiledModel, honest: Trace, amount: float) -> Trace:
    """The same run with the last output's first element moved: by units in the last place if ``amount`` is 0."""
    value = model.program.outputs[-1].value
    array = np.asarray(honest.values[value]).copy()
    flat: NDArray[Any] = array.reshape(-1)
    flat[0] = np.nextafter(flat[0], np.float32(np.inf)) if amount == 0 else flat[0] + np.float32(amount)
    return Trace.of(model.subject, [array if n == value else np.asarray(v) for n, v in enumerate(honest.values)])


def test_verify_of_a_true_answer_confirms_every_bit(world: World) -> None:
    """The file is fetched, compiled to the asked id and run: handle, client and result lead to the same verdict."""
    world.store.put(world.artifact)
    handle = world.request()
    outputs = compiled(world.artifact).run(world.row.inputs)
    world.propose(handle.request, outputs)
    found = handle.verify()
    assert found.holds and found.verdict is Verdict.CONFIRMED and found.differences == ()
    assert (found.request_id, found.operator, found.status) == (handle.request_id, world.operator, Status.PROPOSED)
    assert {name: array.tobytes() for name, array in found.recomputed.items()} == {
        name: array.tobytes() for name, array in outputs.items()
    }
    result = handle.wait(timeout=1, until="proposed")
    assert world.client(None).verify(result) == found
    assert world.client().verify(handle.request_id.hex(), model=world.artifact).holds


def test_verify_of_a_false_answer_says_which_element_differs(world: World) -> None:
    """One wrong bit: output, index, both values, how many of how many, and what to do about it."""
    lie = tell_lie(world)
    found = lie.handle.verify(model=compiled(world.artifact))
    assert found.verdict is Verdict.FALSE and not found.holds
    (difference,) = found.differences
    name, sworn_array = list(found.sworn.items())[-1]
    assert (difference.output, difference.index) == (name, (0,) * sworn_array.ndim)
    assert (difference.count, difference.elements) == (1, sworn_array.size)
    assert difference.sworn == sworn_array.flat[0] != difference.recomputed == found.recomputed[name].flat[0]
    assert difference.largest == pytest.approx(abs(float(difference.sworn) - float(difference.recomputed)))
    assert str(difference) in found.reason and "dispute" in found.next_step


def test_verify_with_the_operators_trace_names_its_fault(world: World) -> None:
    """In profile exact a trace is not needed; where it is given it is audited and held against the result."""
    lie = tell_lie(world)
    found = lie.handle.verify(model=compiled(world.artifact), trace=lie.trace)
    assert found.verdict is Verdict.FALSE and found.faults == (str(lie.fault),)
    honest = compiled(world.artifact).trace(world.row.inputs)
    assert any("output link" in fault for fault in lie.handle.verify(model=world.artifact, trace=honest).faults)


def test_verify_of_a_refuted_answer_still_judges_it(world: World) -> None:
    """A result that was undone can be looked at, and needs nothing done about it."""
    lie = tell_lie(world)
    dispute = world.client(5).dispute(lie.handle)
    dispute.open()
    assert "join" in lie.handle.verify(model=world.artifact).next_step
    world.chain.advance(world.deployment.parameters["traceSeconds"] + 1)
    dispute.convict_silence()
    found = world.client(None).verify(lie.handle, model=world.artifact)
    assert found.verdict is Verdict.FALSE and found.status is Status.REFUTED
    assert found.result_id == dispute.result_id and "does not stand" in found.next_step


def test_verify_in_profile_bounded_without_a_trace_does_not_decide(world: World, bounded: CompiledModel) -> None:
    """Equal bits hold; others may be an honest run's, and the verdict says so instead of accusing."""
    honest = bounded.trace(INPUTS)
    for trace, verdict in ((honest, Verdict.CONFIRMED), (moved(bounded, honest, 1.0), Verdict.UNDECIDED)):
        handle = ask(world, "bounded")
        swear(world, handle, trace)
        assert handle.verify(model=bounded).verdict is verdict
    assert "only the operator's trace tells" in handle.verify(model=bounded).reason
    assert "by at most 1" in handle.verify(model=bounded).reason


def test_verify_in_profile_bounded_with_the_trace_decides(world: World, bounded: CompiledModel, tmp_path: Path) -> None:
    """One unit in the last place lies within the bound, one whole does not; another run's trace is refused."""
    honest = bounded.trace(INPUTS)
    expected = ((0.0, Verdict.ADMISSIBLE), (1.0, Verdict.FALSE))
    for amount, verdict in expected:
        trace, handle = moved(bounded, honest, amount), ask(world, "bounded")
        swear(world, handle, trace)
        found = handle.verify(model=bounded, trace=trace)
        assert found.verdict is verdict and found.differences
        assert found.holds is (verdict is Verdict.ADMISSIBLE) and bool(found.faults) is not found.holds
        with pytest.raises(ConfigurationError, match="not the trace"):
            handle.verify(model=bounded, trace=honest)
    handle = ask(world, "bounded")
    swear(world, handle, bounded.trace(INPUTS, path=tmp_path / "run.trace"))
    assert handle.verify(model=bounded, trace=tmp_path / "run.trace").holds


def test_verify_in_profile_signed_says_that_it_cannot(world: World) -> None:
    """No promise about arithmetic, so no verdict about it: neither true nor false."""
    handle = ask(world, "signed")
    swear(world, handle, replace_root(compiled(LINEAR).trace(INPUTS)))
    found = handle.verify()
    assert found.verdict is Verdict.UNCHECKABLE and not found.holds and "promises nothing" in found.reason


def replace_root(trace: Trace) -> Any:
    """A trace that nobody committed to."""
    return _Rootless(trace)


class _Rootless:
    """Outputs of a run without a trace root."""

    root = ZERO_HASH

    def __init__(self, trace: Trace) -> None:
        self.outputs, self.subject = trace.outputs, trace.subject


def test_verify_of_an_output_of_another_shape_finds_it_false(world: World) -> None:
    """What is no output of the model needs no run to be wrong."""
    handle = world.request()
    trace = compiled(world.artifact).trace(world.row.inputs)
    twice = encode_payload([np.concatenate([array, array]) for array in trace.outputs.values()])
    swear(world, handle, replace_root(trace), output=twice)
    found = handle.verify(model=world.artifact)
    assert found.verdict is Verdict.FALSE and "none that the model gives" in found.reason and not found.recomputed


def test_verify_of_an_answer_to_no_input_finds_it_false(world: World) -> None:
    """An operator must fail an input that does not fit; an answer to it is false, whatever it says."""
    trace = compiled(world.artifact).trace(world.row.inputs)
    payload = encode_payload([np.zeros((3, 3), np.float32)])
    handle = raw_request(world, payload)
    swear(world, handle, replace_root(trace))
    found = handle.verify(model=compiled(world.artifact))
    assert found.verdict is Verdict.FALSE and "none that the model takes" in found.reason


def test_verify_where_the_model_gives_no_answer_finds_any_false(world: World) -> None:
    """Log of −1 is NaN: the operator should have failed, and swore."""
    model = graphs.unary("Log", shape=(2,))
    offer(world, model)
    own = sworn.compile_model(model)
    (name,) = (spec.name for spec in own.schema.inputs)
    trace = own.trace({name: np.array([1.0, 2.0], np.float32)})
    handle = world.client().request(model=model, inputs={name: np.array([-1.0, 2.0], np.float32)})
    swear(world, handle, replace_root(trace))
    found = handle.verify(model=model)
    assert found.verdict is Verdict.FALSE and "no answer" in found.reason


def test_verify_takes_open_shapes_from_the_input_that_was_asked(world: World) -> None:
    """A file with an open dimension compiles to the asked id by itself; a wrong shape is told with the way out."""
    model = graphs.unary("Log", shape=("batch",))
    own = sworn.compile_model(model, input_shapes={"x": (3,)})
    offer(world, model, input_shapes={"x": (3,)})
    inputs = {"x": np.array([1.0, 2.0, 3.0], np.float32)}
    handle = world.client().request(model=model, inputs=inputs)
    swear(world, handle, replace_root(own.trace(inputs)))
    assert handle.verify(model=model).holds
    with pytest.raises(ArtifactCorrupt, match="input shapes x"):
        handle.verify(model=model, input_shapes={"x": (4,)})


def test_verify_of_an_input_by_reference_needs_the_input(world: World) -> None:
    """The reference is named; the right inputs verify, others are refused."""
    handle = world.request(input_uri="https://inputs.example/row")
    world.propose(handle.request, compiled(world.artifact).run(world.row.inputs))
    with pytest.raises(ConfigurationError, match=r"https://inputs\.example/row"):
        handle.verify(model=world.artifact)
    assert handle.verify(model=world.artifact, inputs=world.row.inputs).holds
    others = {name: array + 1 for name, array in world.row.inputs.items()}
    with pytest.raises(ConfigurationError, match="their root is another one"):
        handle.verify(model=world.artifact, inputs=others)


def test_verify_of_an_emitted_input_that_was_not_asked_does_not_decide(world: World) -> None:
    """The request commits to one input and emits another: nobody can run it, and nobody is accused."""
    honest = compiled(world.artifact)
    asked = encode_payload(list(world.row.inputs.values()))
    other = encode_payload([array + 1 for array in decode_payload(asked)])
    handle = raw_request(world, other, committed=asked)
    world.propose(handle.request, honest.run(world.row.inputs))
    found = handle.verify(model=honest)
    assert found.verdict is Verdict.UNDECIDED and "nobody can run it again" in found.reason


def test_verify_refuses_what_it_was_not_asked_about(world: World) -> None:
    """No result yet, no such request, another file, another model, an id: each is a typed error."""
    handle = world.request()
    with pytest.raises(RequestTimeout):
        handle.verify()
    with pytest.raises(RequestUnknown):
        world.client().verify(RequestId(ZERO_HASH))
    world.propose(handle.request)
    with pytest.raises(ArtifactCorrupt):
        handle.verify(model=load_model("volatility"))
    with pytest.raises(ConfigurationError, match="not the one that was asked"):
        handle.verify(model=sworn.compile_model(world.artifact, profile="bounded"))
    with pytest.raises(ConfigurationError, match="not an id"):
        handle.verify(model=world.model_id)


def raw_request(world: World, payload: bytes, *, committed: bytes | None = None) -> RequestHandle:
    """A request that commits to one payload and emits it, or another: what the client never sends."""
    from sworn.codec.structs import request_params_to_abi
    from sworn.codec.trees import payload_root

    params = replace(
        world.request().request, input_root=payload_root(committed or payload), salt=b"\x01" * 32, fee_wei=PRICE_WEI
    )
    sent = ("request", request_params_to_abi(params), payload)
    receipt = world.client()._signing.send("oracle", *sent, value_wei=params.fee_wei)
    (handle,) = world.client().handles_in(receipt.transaction_hash)
    return handle
