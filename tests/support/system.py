"""The five contracts, deployed together as they are on a real chain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from tests.support.accounts import Account
from tests.support.chain import Chain, Contract

from sworn.codec.hashing import Domain

DAY = 86_400
ETHER = 10**18

#: In the order of `contracts/types/Parameters.sol`.
PARAMETERS: Mapping[str, int] = MappingProxyType(
    {
        "minWindowSeconds": 60,
        "maxWindowSeconds": 7 * DAY,
        "maxCallbackGas": 2_000_000,
        "maxInputBytes": 65_536,
        "maxOutputBytes": 16_384,
        "minBondWei": ETHER // 100,
        "maxLifetimeSeconds": 30 * DAY,
        "tailSeconds": DAY,
        "maxDisputeSeconds": 7 * DAY,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A deployment of the contracts."""

    chain: Chain
    parameters: Mapping[str, int]
    model_registry: Contract
    operator_registry: Contract
    oracle: Contract
    dispute_game: Contract
    signed_results: Contract

    @property
    def domain(self) -> Domain:
        """Where signatures for this deployment count."""
        return Domain(chain_id=self.chain.node.chain_id, oracle=self.oracle.address)

    @property
    def contracts(self) -> tuple[Contract, ...]:
        """All five."""
        return self.model_registry, self.operator_registry, self.oracle, self.dispute_game, self.signed_results


def deploy_system(chain: Chain, *, deployer: Account, parameters: Mapping[str, int] = PARAMETERS) -> System:
    """Deploys everything; the contracts name each other, so their addresses are computed first."""
    models, operators, oracle, disputes, signed = (chain.next_address(deployer, skip=skip) for skip in range(5))
    values = tuple(parameters.values())
    system = System(
        chain=chain,
        parameters=parameters,
        model_registry=chain.deploy("ModelRegistry", by=deployer),
        operator_registry=chain.deploy("OperatorRegistry", oracle, signed, disputes, values, by=deployer),
        oracle=chain.deploy("InferenceOracle", models, operators, disputes, values, by=deployer),
        dispute_game=chain.deploy("DisputeGame", oracle, operators, models, signed, by=deployer),
        signed_results=chain.deploy("SignedResults", oracle, operators, models, disputes, values, by=deployer),
    )
    assert tuple(contract.address for contract in system.contracts) == (models, operators, oracle, disputes, signed)
    return system
