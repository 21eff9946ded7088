"""The contracts, deployed together as they are on a real chain."""

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
#: In the order of `DisputeParameters` in the same file.
DISPUTE_PARAMETERS: Mapping[str, int] = MappingProxyType(
    {
        "tailSeconds": DAY,
        "maxDisputeSeconds": 7 * DAY,
        "traceSeconds": 3600,
        "demandSeconds": 29_400,
        "discloseSeconds": 1800,
        "commitSeconds": 1800,
        "revealSeconds": 1200,
        "floorGasPriceWei": 10**9,
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
    referee: Contract
    trace_verifier: Contract

    @property
    def domain(self) -> Domain:
        """Where signatures for this deployment count."""
        return Domain(chain_id=self.chain.node.chain_id, oracle=self.oracle.address)

    @property
    def contracts(self) -> tuple[Contract, ...]:
        """The five that hold state or money."""
        return self.model_registry, self.operator_registry, self.oracle, self.dispute_game, self.signed_results


def deploy_system(
    chain: Chain,
    *,
    deployer: Account,
    parameters: Mapping[str, int] = PARAMETERS,
    referee: Contract | None = None,
) -> System:
    """Deploys everything; the contracts name each other, so their addresses are computed first.

    Without a ``referee`` one is there that believes every proof.
    """
    referee = referee or chain.deploy("RefereeStub", by=deployer)
    verifier = chain.deploy("TraceVerifier", by=deployer)
    models, operators, oracle, disputes, signed = (chain.next_address(deployer, skip=skip) for skip in range(5))
    values, clocks = tuple(parameters.values()), tuple(DISPUTE_PARAMETERS.values())
    game = ("DisputeGame", oracle, operators, models, signed, referee, verifier, clocks)
    system = System(
        chain=chain,
        parameters=parameters,
        model_registry=chain.deploy("ModelRegistry", by=deployer),
        operator_registry=chain.deploy("OperatorRegistry", oracle, signed, disputes, values, by=deployer),
        oracle=chain.deploy("InferenceOracle", models, operators, disputes, values, by=deployer),
        dispute_game=chain.deploy(*game, by=deployer),
        signed_results=chain.deploy("SignedResults", oracle, operators, models, disputes, values, by=deployer),
        referee=referee,
        trace_verifier=verifier,
    )
    assert tuple(contract.address for contract in system.contracts) == (models, operators, oracle, disputes, signed)
    return system
