"""Fixtures for the tests of projects that use sworn; in a ``conftest.py`` at the root::

    pytest_plugins = ["sworn.testing.pytest_plugin"]

Every test gets a chain of its own. ``pytest --sworn-chain anvil`` runs them on anvil.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sworn.client import Client
from sworn.testing.local_chain import ChainKind, LocalChain, start_chain
from sworn.testing.local_oracle import LocalOracle


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds ``--sworn-chain``."""
    parser.addoption(
        "--sworn-chain",
        choices=[kind.value for kind in ChainKind],
        default=ChainKind.EMBEDDED.value,
        help="where the chains of sworn's fixtures run",
    )


@pytest.fixture
def sworn_chain(request: pytest.FixtureRequest) -> Iterator[LocalChain]:
    """An empty local chain with funded keys."""
    with start_chain(ChainKind(request.config.getoption("--sworn-chain"))) as chain:
        yield chain


@pytest.fixture
def sworn_oracle(sworn_chain: LocalChain) -> Iterator[LocalOracle]:
    """The contracts on `sworn_chain`, with a staked operator and its watcher; `LocalOracle.serve` adds models."""
    oracle = LocalOracle(sworn_chain)
    try:
        oracle.enrol()
        yield oracle
    finally:
        oracle.close()


@pytest.fixture
def sworn_client(sworn_oracle: LocalOracle) -> Client:
    """A client of `sworn_oracle` with an account that has ether."""
    return sworn_oracle.client()
