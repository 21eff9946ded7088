"""Test chains and named actors.

Contract tests run on eth-tester and on anvil; ``--chain`` picks one. Everything is deployed once per chain and session,
and each test leaves the chain as it found it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.accounts import Account, funded_account, funded_accounts
from tests.support.anvil_node import AnvilNode, find_anvil
from tests.support.chain import Chain, Contract
from tests.support.eth_tester_node import EthTesterNode
from tests.support.node import Node
from tests.support.scene import Scene, set_scene
from tests.support.system import System, deploy_system

_CHAINS = ("eth-tester", "anvil")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds ``--chain``."""
    parser.addoption("--chain", choices=_CHAINS, help="run contract tests on this chain only")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Runs what needs a chain once per chain."""
    if "chain_name" not in metafunc.fixturenames:
        return
    only = metafunc.config.getoption("--chain")
    names = [name for name in _CHAINS if only in (None, name)]
    marks = {"anvil": [pytest.mark.anvil]}
    parameters = [pytest.param(name, id=name, marks=marks.get(name, [])) for name in names]
    metafunc.parametrize("chain_name", parameters, scope="session")


@pytest.fixture(scope="session")
def node(chain_name: str) -> Iterator[Node]:
    """A test chain, for the session."""
    if chain_name == "eth-tester":
        yield EthTesterNode()
        return
    binary = find_anvil()
    if binary is None:
        pytest.skip("no anvil: npm ci brings it")
    anvil = AnvilNode(binary)
    yield anvil
    anvil.close()


@pytest.fixture(scope="session")
def stage(node: Node) -> Scene:
    """The deployed contracts with registered models and operators, for the session."""
    system = deploy_system(Chain(node), deployer=funded_account(0))
    return set_scene(system, funded_accounts())


@pytest.fixture
def scene(stage: Scene) -> Iterator[Scene]:
    """The scene for one test; whatever the test does to the chain is undone."""
    mark = stage.chain.snapshot()
    yield Scene(system=stage.system, cast=stage.cast)
    stage.chain.restore(mark)


@pytest.fixture
def system(scene: Scene) -> System:
    """The deployed contracts."""
    return scene.system


@pytest.fixture
def chain(scene: Scene) -> Chain:
    """The chain with everything deployed."""
    return scene.chain


@pytest.fixture
def deployer() -> Account:
    """Who deployed; also deploys what a test needs besides."""
    return funded_account(0)


@pytest.fixture
def requester(scene: Scene) -> Account:
    """Who asks and pays."""
    return scene.cast.requester


@pytest.fixture
def operator(scene: Scene) -> Account:
    """A registered operator with 10 ether of stake, a signer and offers for all models."""
    return scene.cast.operator


@pytest.fixture
def rival(scene: Scene) -> Account:
    """A second operator like the first."""
    return scene.cast.rival


@pytest.fixture
def challenger(scene: Scene) -> Account:
    """Who brings proofs."""
    return scene.cast.challenger


@pytest.fixture
def stranger(scene: Scene) -> Account:
    """Somebody without any role, who may relay."""
    return scene.cast.stranger


@pytest.fixture
def puppet(chain: Chain, deployer: Account) -> Contract:
    """A contract that does what the test says: consumer, wallet, attacker."""
    return chain.deploy("Puppet", by=deployer)
