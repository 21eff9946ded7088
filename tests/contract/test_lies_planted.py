from __future__ import annotations

import gc
import json
from collections.abc import Iterator

import pytest
from tests.support.accounts import funded_account
from tests.support.anvil_node import AnvilNode, find_anvil
from tests.support.chain import Chain
from tests.support.lies_measured import PROFILES, load, measure
from tests.support.lies_planted import (
    followed_up,
    greatest_truth,
    places,
    planted,
    smallest_lie,
)
from tests.support.lies_tried import acquit, convict, open_courthouse, session
from tests.support.scene import Scene
from tests.support.subjects import compiled, every_rule, faults_of, random_inputs

from proof_gas import FIGURES, LIGHT
from sworn.model.program import Rule
from sworn.referee import FaultKind
from sworn.testing import gallery
from sworn.types import Profile, Tensors
from sworn.verification import CompiledModel

pytestmark = pytest.mark.anvil
#: A program with a step of every rule, made by hand: no model of the gallery ranks.
BY_HAND = "every rule"


@pytest.fixture(scope="module")
def courthouse() -> Iterator[Scene]:
    """A deployment with the real referee, on a chain that is quick enough for many games."""
    binary = find_anvil()
    if binary is None:
        pytest.skip("no anvil: npm ci brings it")
    node = AnvilNode(binary)
    yield open_courthouse(Chain(node), funded_account(0))
    node.close()


@pytest.fixture(autouse=True)
def freed() -> Iterator[None]:
    """Gigabytes of one network are gone before the next."""
    yield
    gc.collect()


def subject(name: str, profile: str) -> tuple[CompiledModel, Tensors]:
    """A model and an input of it."""
    if name != BY_HAND:
        return load(name, profile)
    model = compiled(*every_rule(), profile=Profile[profile.upper()])
    return model, random_inputs(model)


def try_every_kind(courthouse: Scene, name: str, profile: str, *, rebuild: bool = True) -> list[str]:
    """Convicts the smallest lie in a step of every kind and acquits the greatest truth; the kinds."""
    model, inputs = subject(name, profile)
    honest = model.trace(inputs)
    for place in places(model.program):
        bits = smallest_lie(honest, place)
        lie, is_run = followed_up(model, honest, place, bits) if rebuild else (planted(honest, place, bits), False)
        if is_run:
            # Nothing else is wrong with it: whoever does not find this element finds nothing.
            (fault,) = faults_of(model, lie)
            assert (fault.kind, fault.value, fault.index) == (FaultKind.ELEMENT, place.value, place.index)
        with session(courthouse, model) as scene:
            convict(scene, model, lie, place)
        with session(courthouse, model) as scene:
            acquit(scene, model, planted(honest, place, greatest_truth(honest, place)), place)
    return [place.kind for place in places(model.program)]


@pytest.mark.parametrize("profile", PROFILES)
def test_smallest_lie_in_every_rule_is_convicted_and_slashed(courthouse: Scene, profile: str) -> None:
    """One element off by the least that is wrong, everything after it consistent: the whole game ends in a slash."""
    kinds = try_every_kind(courthouse, BY_HAND, profile)
    assert {kind.split()[0] for kind in kinds} > {rule.name.lower() for rule in Rule} - {"pointwise"}


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", ["logistic", "mlp"])
def test_figures_of_small_models_measured_again_are_those_committed(courthouse: Scene, name: str, profile: str) -> None:
    """What convictions take is what the page says; `scripts/proof_gas.py --gallery` measures anew."""
    committed = json.loads(FIGURES.read_text(encoding="utf-8"))
    assert measure(courthouse, name, profile) == committed[f"{name} {profile}"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", gallery.names())
def test_smallest_lie_in_every_kind_of_step_of_the_gallery_is_convicted(
    courthouse: Scene, name: str, profile: str
) -> None:
    """In every model of the gallery, runs of profile bounded being those of onnxruntime's kernels."""
    assert try_every_kind(courthouse, name, profile)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", LIGHT)
def test_smallest_lie_in_every_kind_of_step_of_light_networks_is_convicted(
    courthouse: Scene, name: str, profile: str
) -> None:
    """In networks of full size, too; what follows from the lie is left as it was: that adds faults, and hides none."""
    assert try_every_kind(courthouse, name, profile, rebuild=False)
