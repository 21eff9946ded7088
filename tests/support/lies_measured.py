"""Every kind of step of a model lied about and convicted, and what that cost."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import numpy as np
from tests.support.lies_planted import Place, greatest_truth, places, planted, smallest_lie
from tests.support.lies_tried import Conviction, acquit, convict, session
from tests.support.scene import Scene

import sworn
from gallery_light import SEED, light_network
from sworn.engine.exact import ExactExecutor
from sworn.model.footprint import footprint
from sworn.model.program import Contract, Extremum, Rank, Step
from sworn.testing import gallery
from sworn.types import Tensors
from sworn.verification import CompiledModel

PROFILES: Final = ("exact", "bounded")
_LIGHT: Final = "light_"
#: Gas of a byte of calldata at least: that is zero, and another; and of any in a draft.
_ZERO_FLOOR, _FLOOR, _FLOOR_64 = 10, 40, 64
_TRANSACTION_GAS: Final = 21_000
#: By kind of step, then by what was measured.
Figures = dict[str, dict[str, int]]


def measure(courthouse: Scene, name: str, profile: str) -> Figures:
    """Convicts a lie in a step of every kind of a model, and acquits the last value before it that is right.

    Runs of the gallery are exact in both profiles, so that the figures are the same on every machine; light networks
    run as operators run them.
    """
    model, inputs = load(name, profile)
    if not name.startswith(_LIGHT):
        model = replace(model, executor=ExactExecutor(model.program, model.weights, threads=model.threads))
    honest = model.trace(inputs)
    found: Figures = {}
    for place in places(model.program):
        with session(courthouse, model) as scene:
            acquit(scene, model, planted(honest, place, greatest_truth(honest, place)), place)
        lie = planted(honest, place, smallest_lie(honest, place))
        with session(courthouse, model) as scene:
            found[place.kind] = figures(model, place, convict(scene, model, lie, place))
    return found


def load(name: str, profile: str) -> tuple[CompiledModel, Tensors]:
    """A model of the gallery or a light network, and an input of it."""
    if not name.startswith(_LIGHT):
        return sworn.compile_model(gallery.load(name), profile=profile), gallery.rows(name)[0].inputs
    model = sworn.compile_model(light_network(name.removeprefix(_LIGHT)), profile=profile)
    pixels = np.random.default_rng(SEED).standard_normal((1, 3, 224, 224), dtype=np.float32)
    return model, {model.schema.inputs[0].name: pixels}


def figures(model: CompiledModel, place: Place, conviction: Conviction) -> dict[str, int]:
    """What convicting took: sizes in bytes, and gas."""
    data = conviction.receipt.calldata
    return {
        "terms": _terms(model.program.steps[place.step]),
        "proof": len(conviction.proof),
        "calldata": len(data),
        "gas": conviction.receipt.gas_used,
        "estimate": footprint(model.program, place.step).gas,
        "floor_40": _TRANSACTION_GAS + _ZERO_FLOOR * data.count(0) + _FLOOR * (len(data) - data.count(0)),
        "floor_64": _TRANSACTION_GAS + _FLOOR_64 * len(data),
        "game": conviction.total_gas,
    }


def _terms(step: Step) -> int:
    match step.body:
        case Contract() | Extremum() as body:
            return math.prod(reduction.extent for reduction in body.reductions)
        case Rank() as body:
            return body.extent
        case _:
            return 1
