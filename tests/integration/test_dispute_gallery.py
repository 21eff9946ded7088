from __future__ import annotations

import numpy as np
import pytest
from tests.support.searching import payload_of, search_through
from tests.support.subjects import corrupted

import sworn
from sworn.dispute.search import FaultFound, NoFault, search_of
from sworn.model.program import Pointwise
from sworn.referee import check, decode_proof
from sworn.testing import gallery
from sworn.types import Part, Profile
from sworn.verification import CompiledModel

#: Demands that no walk to one element may exceed in profile exact: two levels of values, two of chunks.
MOST_DEMANDS = 4


@pytest.fixture(
    scope="module", params=[(name, profile) for name in gallery.names() for profile in ("exact", "bounded")], ids=str
)
def model(request: pytest.FixtureRequest) -> tuple[str, CompiledModel]:
    """A model of the gallery in a profile."""
    name, profile = request.param
    return name, sworn.compile_model(gallery.load(name), profile=profile)


def test_lies_in_every_kind_of_step_are_found_by_demands_alone(model: tuple[str, CompiledModel]) -> None:
    """An operator that shows whatever is demanded convicts itself; one that has told the truth cannot be convicted."""
    name, compiled = model
    inputs = dict(gallery.rows(name)[0].inputs)
    honest, payload = compiled.trace(inputs), payload_of(compiled, inputs)
    assert isinstance(search_through(search_of(compiled, payload), honest).finding, NoFault)
    generator, search = np.random.default_rng(7), search_of(compiled, payload)
    tried, first = set(), len(compiled.program.inputs)
    for number in generator.permutation(len(compiled.program.steps)).tolist():
        step = compiled.program.steps[number]
        kind = (step.rule, step.output.dtype, step.body.function if isinstance(step.body, Pointwise) else None)
        array = honest.values[first + number]
        if kind in tried or not array.size:
            continue
        tried.add(kind)
        index = int(generator.integers(array.size))
        # The lowest bit of the exponent, or of an integer: far outside of every bound.
        bit = 1 << 23 if array.dtype == np.float32 else 1
        lie = corrupted(honest, first + number, index, honest.bits(first + number, index) ^ bit)
        searched = search_through(search, lie)
        if compiled.model.profile is Profile.BOUNDED and isinstance(searched.finding, NoFault):
            # A bit of a number near zero may lie within its bound; an audit says the same.
            assert not compiled.audit(lie)
            continue
        assert isinstance(searched.finding, FaultFound), compiled.step_names[number]
        assert check(decode_proof(searched.finding.proof))
        if compiled.model.profile is Profile.EXACT:
            assert (searched.finding.value, searched.finding.index) == (first + number, index)
            assert len(searched.targets) <= MOST_DEMANDS
            assert searched.targets[0].part is Part.VALUES
    assert len(tried) > 2
