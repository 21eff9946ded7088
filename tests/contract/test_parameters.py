from __future__ import annotations

import pytest
from tests.support.accounts import Account
from tests.support.artifacts import artifacts
from tests.support.chain import Chain
from tests.support.scene import Scene
from tests.support.system import ETHER, PARAMETERS, System, deploy_system

from sworn.types import ZERO_HASH

_CODE_LIMIT_BYTES = 24_576
_CONTRACTS = ("ModelRegistry", "OperatorRegistry", "InferenceOracle", "DisputeGame", "SignedResults")


def test_parameters_are_readable_as_deployed(system: System) -> None:
    """Everyone can see what a deployment chose."""
    names = {
        "MIN_WINDOW_SECONDS": "minWindowSeconds",
        "MAX_WINDOW_SECONDS": "maxWindowSeconds",
        "MAX_CALLBACK_GAS": "maxCallbackGas",
        "MAX_INPUT_BYTES": "maxInputBytes",
        "MAX_OUTPUT_BYTES": "maxOutputBytes",
        "MIN_BOND_WEI": "minBondWei",
        "MAX_LIFETIME_SECONDS": "maxLifetimeSeconds",
    }

    assert {name: system.oracle.call(name) for name in names} == {
        name: PARAMETERS[parameter] for name, parameter in names.items()
    }


def test_parameters_of_other_contracts_agree(system: System) -> None:
    """All contracts of a deployment share their times."""
    lifetime_s, tail_s = PARAMETERS["maxLifetimeSeconds"], PARAMETERS["tailSeconds"]

    assert system.operator_registry.call("MAX_LIFETIME_SECONDS") == lifetime_s
    assert system.signed_results.call("MAX_LIFETIME_SECONDS") == lifetime_s
    assert system.signed_results.call("TAIL_SECONDS") == tail_s


def test_unbonding_time_outlasts_every_dispute(system: System) -> None:
    """Stake outlives the last second in which anything it swore can be judged."""
    expected_s = sum(
        PARAMETERS[name] for name in ("maxLifetimeSeconds", "tailSeconds", "maxWindowSeconds", "maxDisputeSeconds")
    )

    assert system.operator_registry.call("UNBONDING_SECONDS") == expected_s


def test_contracts_name_each_other(system: System) -> None:
    """The five are one deployment."""
    models, operators, oracle, disputes, signed = (contract.address for contract in system.contracts)
    wiring = {
        system.oracle: {"MODEL_REGISTRY": models, "OPERATOR_REGISTRY": operators, "DISPUTE_GAME": disputes},
        system.operator_registry: {"ORACLE": oracle, "SIGNED_RESULTS": signed, "DISPUTE_GAME": disputes},
        system.dispute_game: {
            "ORACLE": oracle,
            "OPERATOR_REGISTRY": operators,
            "MODEL_REGISTRY": models,
            "SIGNED_RESULTS": signed,
        },
        system.signed_results: {
            "ORACLE": oracle,
            "OPERATOR_REGISTRY": operators,
            "MODEL_REGISTRY": models,
            "DISPUTE_GAME": disputes,
        },
    }

    found = {contract: {name: contract.call(name) for name in names} for contract, names in wiring.items()}

    assert found == wiring


@pytest.mark.parametrize("value_at_risk_wei", [0, ETHER // 200, ETHER // 200 + 1, ETHER, 2**96 - 1])
def test_bond_covers_value_at_risk(system: System, value_at_risk_wei: int) -> None:
    """Half of a bond compensates the victim in full, and there is a minimum."""
    bond_wei = system.oracle.call("bondFor", value_at_risk_wei)

    assert bond_wei == max(2 * value_at_risk_wei, PARAMETERS["minBondWei"])


def test_parameters_differ_between_deployments(chain: Chain, deployer: Account, system: System) -> None:
    """Nothing is fixed in the code that a deployment may choose."""
    other = deploy_system(chain, deployer=deployer, parameters={**PARAMETERS, "minWindowSeconds": 61})

    assert other.oracle.call("MIN_WINDOW_SECONDS") == 61
    assert system.oracle.call("MIN_WINDOW_SECONDS") == 60


@pytest.mark.parametrize("name", _CONTRACTS)
def test_contract_fits_code_size_limit(name: str) -> None:
    """EIP-170 holds for every contract."""
    assert 0 < artifacts()[name].runtime_size <= _CODE_LIMIT_BYTES


@pytest.mark.parametrize("name", _CONTRACTS)
def test_contract_has_no_owner(name: str) -> None:
    """No owner, no pause, no upgrade: nobody can change a deployment."""
    functions = {entry["name"].lower() for entry in artifacts()[name].abi if entry["type"] == "function"}

    assert not functions & {"owner", "transferownership", "pause", "unpause", "upgradeto", "upgradetoandcall"}


def test_views_of_nothing_are_zero(scene: Scene, system: System, stranger: Account) -> None:
    """Reading what does not exist reverts nowhere."""
    assert system.oracle.call("stateOf", ZERO_HASH) == (0, 0, 0, False, 0, 0, bytes(20))
    assert scene.credit_of(stranger) == 0
    assert scene.reward_of(stranger) == 0
    assert system.operator_registry.call("unbondingOf", stranger) == (0, 0, 0)
