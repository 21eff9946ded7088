from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.support.graphs import build
from tests.support.lies_planted import kind_of, places, planted, smallest_lie
from tests.support.programs import program, step, tensor, unary, value
from tests.support.referee_chain import intrinsic_gas, referee_chain
from tests.support.subjects import compiled, random_inputs

import sworn
from proof_gas import FIGURES, LIGHT, PAGE, beyond_limits, page
from sworn.errors import ModelUnsupported
from sworn.model.footprint import footprint
from sworn.model.limits import MAX_PROOF_GAS, limits_of
from sworn.model.program import Contract, Copy, Function, Piece, Program, Rank, Reduction
from sworn.referee import FaultKind, encode_proof
from sworn.testing import gallery
from sworn.types import DType, Profile
from sworn.verification.proving import prove

#: What the game takes at least besides the referee, in `docs/proof_gas.md`.
GAME_GAS = 220_000
#: Gas that a transaction may take (EIP-7825), and the share of it that reaches a contract's contract.
CAP, REACHING = 1 << 24, (63 / 64) ** 2
BYTE, INT, FLOAT = DType.UINT8, DType.INT32, DType.FLOAT32


def contraction(
    extents: Sequence[int], strides: Sequence[tuple[int, int]], sizes: Sequence[int], dtype: DType = FLOAT
) -> Program:
    """One sum of products of two operands, or of one operand's elements, over reductions with these strides."""
    reductions = [
        Reduction(extent=extent, left_stride=left, right_stride=right if len(sizes) > 1 else 0)
        for extent, (left, right) in zip(extents, strides, strict=True)
    ]
    right = value(1, (0,)) if len(sizes) > 1 else None
    body = Contract(left=value(0, (0,)), right=right, reductions=tuple(reductions))
    output = FLOAT if dtype is FLOAT else INT
    return program([tensor((size,), dtype) for size in sizes], (step(body, (1,), output),))


def ranking(extent: int, stride: int, dtype: DType) -> Program:
    """Positions in one row."""
    body = Rank(
        source=value(0, (0, 0), offset=max(0, -stride * (extent - 1))),
        extent=extent,
        stride=stride,
        axis=1,
        largest=True,
    )
    return program([tensor((extent * abs(stride),), dtype)], (step(body, (1, 4), DType.INT64),))


def joining(pieces: int) -> Program:
    """So many tensors, one behind the other."""
    boxes = [Piece(source=value(k, (1,)), starts=(k,), stops=(k + 1,), every=(1,)) for k in range(pieces)]
    return program([tensor((4,))] * pieces, (step(Copy(pieces=tuple(boxes)), (pieces,)),))


PROVABLE = {
    "a full row": contraction([8192], [(1, 1)], [8192, 8192]),
    "a sum of floats": contraction([8192], [(1, 0)], [8192]),
    "every other element": contraction([8192], [(2, 1)], [16384, 8192]),
    "runs of eight": contraction([1024, 8], [(16, 8), (1, 1)], [16384, 8192]),
    "runs of four": contraction([2048, 4], [(8, 4), (1, 1)], [16384, 8192]),
    "columns": contraction([64, 128], [(1, 128), (64, 1)], [8192, 8192]),
    "a window": contraction([3, 3, 64], [(1920, 192), (640, 64), (1, 1)], [5760, 576]),
    "a wide window": contraction([49], [(300, 1)], [14700, 49]),
    "a full row of bytes": contraction([8192], [(1, 1)], [8192, 8192], BYTE),
    "runs of eight bytes": contraction([1024, 8], [(16, 8), (1, 1)], [16384, 8192], BYTE),
    "bytes apart": contraction([8192], [(10, 1)], [81920, 8192], BYTE),
    "a sum of bytes": contraction([8192], [(1, 0)], [8192], BYTE),
    "a sum of words": contraction([8192], [(1, 0)], [8192], INT),
    "a sum of pairs of words": contraction([4096, 2], [(4, 0), (1, 0)], [16384], INT),
    "a rank among floats": ranking(15_000, 1, FLOAT),
    "a rank among bytes": ranking(12_000, 1, DType.INT8),
    "a rank read backwards": ranking(1_000, -3, FLOAT),
    "many pieces": joining(60),
    "exp": unary(Function.EXP, 300),
    "erf": unary(Function.ERF, 300),
    "pow": unary(Function.POW, 300, alpha=0.75),
}
#: Their bytes fit a transaction, their gas does not.
TOO_DEAR = {
    "runs of two": contraction([4096, 2], [(3, 2), (1, 1)], [12288, 8192]),
    "two columns": contraction([4096, 2], [(1, 1), (4096, 4096)], [8192, 8192]),
    "runs of two bytes": contraction([4096, 2], [(16, 2), (1, 1)], [65536, 8192], BYTE),
    "a long row of bytes": ranking(15_000, 1, DType.INT8),
}


@pytest.mark.parametrize("profile", [Profile.EXACT, Profile.BOUNDED], ids=["exact", "bounded"])
@pytest.mark.parametrize("name", PROVABLE)
def test_gas_of_a_proof_is_not_above_its_estimate_nor_far_below(name: str, profile: Profile) -> None:
    """However the terms of a step lie: what compiling goes by is at least what a proof takes, and less than thrice."""
    made = PROVABLE[name]
    model = compiled(made, (), profile=profile)
    honest = model.trace({key: abs(array) for key, array in random_inputs(model).items()})
    (place,) = places(made)
    lie = planted(honest, place, smallest_lie(honest, place))
    proof = prove(lie, kind=FaultKind.ELEMENT, value=place.value, index=place.index)
    verdict = referee_chain().check(proof)
    assert verdict.faulty is True
    measured = GAME_GAS + intrinsic_gas(encode_proof(proof)) + verdict.gas
    assert measured <= footprint(made, 0).gas <= 3 * measured
    assert len(encode_proof(proof)) <= footprint(made, 0).proof_bytes


@pytest.mark.parametrize("name", TOO_DEAR)
def test_programs_with_a_step_too_dear_to_prove_are_refused(name: str) -> None:
    """In both profiles, with the step, where it comes from, and why."""
    made = TOO_DEAR[name]
    found = footprint(made, 0)
    assert found.proof_bytes <= limits_of(Profile.EXACT).max_proof_bytes
    assert found.gas > MAX_PROOF_GAS
    for profile in (Profile.EXACT, Profile.BOUNDED):
        with pytest.raises(ModelUnsupported, match=rf"step 0 .*Sum of node.* {found.gas} gas"):
            limits_of(profile).check(made, ["Sum of node"])


def test_model_with_a_step_too_dear_to_prove_is_refused_by_name() -> None:
    """Whoever compiles it is told the operator and the node."""
    row, best = [1, 15_000], numpy_helper.from_array(np.array([3], np.int64), "k")
    outputs = [("values", TensorProto.INT32, [1, 3]), ("places", TensorProto.INT64, [1, 3])]
    node = helper.make_node("TopK", ["x", "k"], ["values", "places"], name="best three")
    artifact = build([node], [("x", TensorProto.INT32, row)], outputs, [best])
    for profile in ("exact", "bounded"):
        with pytest.raises(ModelUnsupported, match=r"TopK best three.* gas"):
            sworn.compile_model(artifact, profile=profile)


@pytest.mark.parametrize(("operator", "dtype"), [("MatMul", np.float32), ("MatMulInteger", np.uint8)])
def test_product_of_two_hundred_thousand_terms_is_cut_into_provable_steps(operator: str, dtype: type) -> None:
    """No sum is too long for a model: it becomes many, of which each can be proved wrong."""
    weights = numpy_helper.from_array(np.ones((200_000, 2), dtype), "w")
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    output = TensorProto.FLOAT if dtype is np.float32 else TensorProto.INT32
    node = helper.make_node(operator, ["x", "w"], ["y"])
    model = sworn.compile_model(build([node], [("x", kind, [1, 200_000])], [("y", output, [1, 2])], [weights]))
    steps = range(len(model.program.steps))
    assert len(steps) > 200_000 // 8192
    assert max(footprint(model.program, number).gas for number in steps) < MAX_PROOF_GAS // 4


def test_dearest_proof_by_the_limit_reaches_the_rule_within_a_transaction() -> None:
    """A contract keeps a 64th of its gas from each that it calls: the game from the referee, that from the rule."""
    assert MAX_PROOF_GAS < CAP * REACHING


def test_figures_of_measured_proofs_stay_within_transactions_and_estimates() -> None:
    """Every committed figure: gas cap, calldata floors of 40 and 64, size, and estimate; the page shows them."""
    figures = json.loads(FIGURES.read_text(encoding="utf-8"))
    assert beyond_limits(figures) == []
    wanted = {f"{name} {profile}" for name in (*gallery.names(), *LIGHT) for profile in ("exact", "bounded")}
    assert wanted == figures.keys()
    assert PAGE.read_text(encoding="utf-8") == page(figures)


@pytest.mark.parametrize("name", gallery.names())
def test_figures_of_the_gallery_name_every_kind_of_step(name: str) -> None:
    """No kind of step is left out of the table, and the estimates in it are those of today."""
    figures = json.loads(FIGURES.read_text(encoding="utf-8"))
    for profile in ("exact", "bounded"):
        made = sworn.compile_model(gallery.load(name), profile=profile).program
        estimates = {place.kind: footprint(made, place.step).gas for place in places(made)}
        assert {kind: found["estimate"] for kind, found in figures[f"{name} {profile}"].items()} == estimates
        assert estimates.keys() == {kind_of(each) for each in made.steps}
