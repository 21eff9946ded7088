"""Deployments: on disk, and compared with what the chain says."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.client_world import PACING, World, open_world

from sworn.chain.deployment import deploy, verify_deployment
from sworn.chain.deployment_files import CONTRACTS, created_address, load_deployment, save_deployment
from sworn.errors import ChainIdMismatch, ConfigurationError, DeploymentUnknown
from sworn.testing.local_chain import ChainKind
from sworn.types import Deployment

#: What has a part in judging a fault; another contract holds the address of each.
JUDGES = tuple(CONTRACTS)[: tuple(CONTRACTS).index("trace_verifier") + 1]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """A deployment; nothing here changes it."""
    with open_world(ChainKind.EMBEDDED) as world:
        yield world


@pytest.fixture(scope="module")
def rival(world: World) -> Deployment:
    """Another deployment on the same chain."""
    return deploy(world.chain.gateway, world.chain.signers[5], pacing=PACING)


def test_deployment_saved_and_loaded_is_the_same(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By path, by folder and chain id; and what is missing is looked for in named places."""
    file = save_deployment(world.deployment, tmp_path)
    assert file.name == f"{world.deployment.chain_id}.json"
    assert load_deployment(file) == world.deployment
    monkeypatch.setenv("SWORN_DEPLOYMENTS", str(tmp_path))
    assert load_deployment(world.deployment.chain_id) == world.deployment
    with pytest.raises(DeploymentUnknown) as caught:
        load_deployment(4242)
    assert str(tmp_path) in str(caught.value)
    file.write_text("{}")
    with pytest.raises(ConfigurationError):
        load_deployment(file)


@pytest.mark.parametrize(("part", "missing"), [("contracts", "Referee"), ("parameters", "traceSeconds")])
def test_deployment_file_of_another_version_says_what_to_do(
    world: World, tmp_path: Path, part: str, missing: str
) -> None:
    """A deployment without all of the contracts and clocks of this version names them, and the way out."""
    file = save_deployment(world.deployment, tmp_path)
    document = json.loads(file.read_text())
    del document[part][missing]
    file.write_text(json.dumps(document))
    with pytest.raises(ConfigurationError, match=f"without {missing}: deploy .* with `sworn deploy`"):
        load_deployment(file)


def test_deployment_of_other_contracts_is_refused(world: World) -> None:
    """Chain, code, links and parameters are compared with what the chain says."""
    gateway, deployment = world.chain.gateway, world.deployment
    verify_deployment(gateway, deployment, thorough=True)
    with pytest.raises(ChainIdMismatch):
        verify_deployment(gateway, dataclasses.replace(deployment, chain_id=1))
    swapped = dataclasses.replace(deployment, oracle=deployment.dispute_game, dispute_game=deployment.oracle)
    with pytest.raises(ConfigurationError):
        verify_deployment(gateway, swapped, thorough=True)
    parameters = {**deployment.parameters, "minBondWei": 1}
    with pytest.raises(ConfigurationError):
        verify_deployment(gateway, dataclasses.replace(deployment, parameters=parameters), thorough=True)


@pytest.mark.parametrize("field", JUDGES)
def test_deployment_with_another_judge_is_refused(world: World, rival: Deployment, field: str) -> None:
    """Right code at another address than where the game or the referee asks is no part of the deployment."""
    deployment = dataclasses.replace(world.deployment, **{field: getattr(rival, field)})
    with pytest.raises(ConfigurationError, match=r"\.[A-Z_]+ at 0x\w+ is 0x\w+, expected 0x"):
        verify_deployment(world.chain.gateway, deployment, thorough=True)


@pytest.mark.parametrize("field", [field for field in CONTRACTS if field != "pointwise_rule"])
def test_deployment_with_foreign_code_is_refused(world: World, field: str) -> None:
    """A contract in the place of another is seen by its code or by its views."""
    changes: dict[str, Any] = {field: world.deployment.pointwise_rule}
    deployment = dataclasses.replace(world.deployment, **changes)
    with pytest.raises(
        ConfigurationError, match=f"the code at .* {CONTRACTS[field]}|expected {deployment.pointwise_rule}"
    ):
        verify_deployment(world.chain.gateway, deployment, thorough=True)


def test_deployment_with_prefix_of_a_rule_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule has no views, so that its whole code is compared: a part of it could convict nobody."""
    whole = world.chain.gateway.code
    monkeypatch.setattr(world.chain.gateway, "code", lambda address: whole(address)[-100:])
    with pytest.raises(ConfigurationError, match="is not the SelectionRule of this version"):
        verify_deployment(world.chain.gateway, world.deployment, thorough=True)


@pytest.mark.parametrize("clock", ["traceSeconds", "discloseSeconds", "revealSeconds", "floorGasPriceWei"])
def test_deployment_with_another_dispute_clock_is_refused(world: World, clock: str) -> None:
    """The game's clocks are compared with the file's: who relies on a longer one would come too late."""
    parameters = {**world.deployment.parameters, clock: 61}
    with pytest.raises(ConfigurationError, match="DisputeGame"):
        verify_deployment(
            world.chain.gateway, dataclasses.replace(world.deployment, parameters=parameters), thorough=True
        )


def test_created_address_of_known_nonces_matches_the_chains(world: World) -> None:
    """The address rule, for the smallest nonce, a one-byte, a long and a two-byte one."""
    deployer = "0x6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0"
    known = {
        0: "0xcd234a471b72ba2f1ccf0a70fcaba648a5eecd8d",
        1: "0x343c43a37d37dff08ae8c4a11544c718abb4fcf8",
        2: "0xf778b86fa74e846c4f0a1fbd1335fe81c00a0c91",
    }
    for nonce, address in known.items():
        assert created_address(deployer, nonce).lower() == address  # type: ignore[arg-type]
    assert created_address(world.chain.signers[0].address, 0) == world.deployment.selection_rule
