from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.support.accounts import Account
from tests.support.assertions import assert_emitted, assert_silent, reverts
from tests.support.scene import Scene, make_model
from tests.support.system import System

from sworn.codec.hashing import model_id
from sworn.codec.structs import model_to_abi
from sworn.types import ZERO_HASH, Model, Profile

_PROFILES = [Profile.EXACT, Profile.BOUNDED, Profile.SIGNED]


@pytest.mark.parametrize("profile", _PROFILES)
def test_register_model_stores_profile_under_content_address(
    system: System, stranger: Account, profile: Profile
) -> None:
    """The id is the hash of everything that identifies the model."""
    model = make_model(profile, tag=77)

    receipt = system.model_registry.send("register", model, by=stranger)

    event = assert_emitted(receipt, "ModelRegistered", model_id=model_id(model))
    assert event.arguments["model"] == model_to_abi(model)
    assert receipt.returned == model_id(model)
    assert system.model_registry.call("profileOf", model_id(model)) == profile


def test_register_model_twice_does_nothing(system: System, stranger: Account, challenger: Account) -> None:
    """Anyone may register anything, as often as they like."""
    model = make_model(Profile.EXACT, tag=78)
    system.model_registry.send("register", model, by=stranger)

    receipt = system.model_registry.send("register", model, by=challenger)

    assert_silent(receipt)
    assert receipt.returned == model_id(model)


def test_register_model_of_other_version_reverts(system: System, stranger: Account) -> None:
    """Another identity scheme needs another registry."""
    with reverts("ModelVersionUnknown", version=2):
        system.model_registry.send("register", replace(make_model(Profile.EXACT), version=2), by=stranger)


@pytest.mark.parametrize("field", ["artifact_hash", "io_hash"])
def test_register_model_without_artifact_or_schema_reverts(system: System, stranger: Account, field: str) -> None:
    """A model without artifact or schema cannot be recomputed by anyone."""
    model = _with(make_model(Profile.EXACT), field, ZERO_HASH)

    with reverts("ModelIncomplete"):
        system.model_registry.send("register", model, by=stranger)


@pytest.mark.parametrize("profile", [Profile.EXACT, Profile.BOUNDED])
@pytest.mark.parametrize("field", ["program_root", "weights_root", "limits_hash"])
def test_register_provable_model_without_root_reverts(
    system: System, stranger: Account, profile: Profile, field: str
) -> None:
    """A fault could not be proven against a missing root."""
    model = _with(make_model(profile), field, ZERO_HASH)

    with reverts("ModelRootsInvalid", profile=profile):
        system.model_registry.send("register", model, by=stranger)


@pytest.mark.parametrize("field", ["program_root", "weights_root", "limits_hash"])
def test_register_signed_model_with_root_reverts(system: System, stranger: Account, field: str) -> None:
    """A signed model promises no arithmetic, so it commits to none."""
    model = _with(make_model(Profile.SIGNED, tag=3), field, b"\x01" * 32)

    with reverts("ModelRootsInvalid", profile=Profile.SIGNED):
        system.model_registry.send("register", model, by=stranger)


def test_register_model_without_profile_reverts(system: System, stranger: Account) -> None:
    """Profile None means: not registered."""
    model = replace(make_model(Profile.EXACT), profile=Profile.NONE)

    with reverts("ModelRootsInvalid", profile=Profile.NONE):
        system.model_registry.send("register", model, by=stranger)


def test_profile_of_unknown_model_is_none(system: System) -> None:
    """A model that nobody registered has no profile."""
    assert system.model_registry.call("profileOf", b"\x55" * 32) == Profile.NONE


@pytest.mark.parametrize("uri", ["x", "ipfs://" + "a" * 2041])
def test_publish_mirror_of_registered_model_is_announced(
    scene: Scene, system: System, stranger: Account, uri: str
) -> None:
    """Anyone may say where the artifact can be had."""
    known = scene.cast.models[Profile.EXACT]

    receipt = system.model_registry.send("publish", known, uri, by=stranger)

    assert_emitted(receipt, "ArtifactPublished", model_id=known, publisher=stranger, uri=uri)


@pytest.mark.parametrize("length", [0, 2049])
def test_publish_empty_or_oversized_uri_reverts(scene: Scene, system: System, stranger: Account, length: int) -> None:
    """Mirrors have an address of reasonable length."""
    with reverts("ArtifactUriInvalid", length=length):
        system.model_registry.send("publish", scene.cast.models[Profile.EXACT], "a" * length, by=stranger)


def test_publish_mirror_of_unknown_model_reverts(system: System, stranger: Account) -> None:
    """Mirrors are for models that exist here."""
    with reverts("ModelUnknown", model_id=b"\x55" * 32):
        system.model_registry.send("publish", b"\x55" * 32, "https://example.org", by=stranger)


def _with(model: Model, field: str, value: bytes) -> Model:
    changes: dict[str, Any] = {field: value}
    return replace(model, **changes)
