"""Deployment files: which contracts make one oracle, where such files are found, and how they look.

::

    {"chainId": 1, "block": 123, "contracts": {"InferenceOracle": {"address": "0x…"}, …}, "parameters": {…}}
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from eth_utils.address import is_address, to_checksum_address
from eth_utils.crypto import keccak

from sworn.abi import Interface, interface
from sworn.errors import ConfigurationError, DeploymentUnknown
from sworn.types import Address, Deployment

#: Field of `Deployment` to contract, in the order in which they are deployed: what needs no other contract comes first,
#: so that a deployment that breaks off early has cost the least.
CONTRACTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "selection_rule": "SelectionRule",
        "float_contraction_rule": "FloatContractionRule",
        "integer_contraction_rule": "IntegerContractionRule",
        "pointwise_rule": "PointwiseRule",
        "real_function_rule": "RealFunctionRule",
        "referee": "Referee",
        "trace_verifier": "TraceVerifier",
        "model_registry": "ModelRegistry",
        "operator_registry": "OperatorRegistry",
        "oracle": "InferenceOracle",
        "dispute_game": "DisputeGame",
        "signed_results": "SignedResults",
    }
)
#: Parameters for a chain with blocks of seconds and fees of cents; `contracts/README.md` says how to choose others.
DEFAULT_PARAMETERS: Final[Mapping[str, int]] = MappingProxyType(
    {
        "minWindowSeconds": 60,
        "maxWindowSeconds": 7 * 86_400,
        "maxCallbackGas": 2_000_000,
        "maxInputBytes": 65_536,
        "maxOutputBytes": 16_384,
        "minBondWei": 10**16,
        "maxLifetimeSeconds": 30 * 86_400,
        "tailSeconds": 86_400,
        "maxDisputeSeconds": 7 * 86_400,
        "traceSeconds": 3_600,
        "demandSeconds": 29_400,
        "discloseSeconds": 1_800,
        "commitSeconds": 1_800,
        "revealSeconds": 1_200,
        "floorGasPriceWei": 10**9,
    }
)
_DIRECTORY_VARIABLE: Final = "SWORN_DEPLOYMENTS"


def contract_addresses(deployment: Deployment) -> dict[str, Address]:
    """The addresses by contract."""
    return {contract: getattr(deployment, field) for field, contract in CONTRACTS.items()}


def created_address(deployer: Address, nonce: int) -> Address:
    """The contract that a deployer's transaction with this nonce creates: keccak(rlp([deployer, nonce]))."""
    number = nonce.to_bytes((nonce.bit_length() + 7) // 8)
    encoded = number if nonce and nonce < 0x80 else bytes([0x80 + len(number)]) + number
    content = b"\x94" + bytes.fromhex(deployer[2:]) + encoded
    return Address(to_checksum_address(keccak(bytes([0xC0 + len(content)]) + content)[12:]))


def planned_deployment(
    *, deployer: Address, nonce: int, chain_id: int, block: int, parameters: Mapping[str, int]
) -> Deployment:
    """Where the contracts will be when they are deployed one after the other from this nonce on."""
    addresses = {field: created_address(deployer, nonce + step) for step, field in enumerate(CONTRACTS)}
    return Deployment(chain_id=chain_id, block=block, parameters=MappingProxyType(dict(parameters)), **addresses)


def creation_code(contract: str, deployment: Deployment) -> bytes:
    """Bytecode and constructor arguments of a contract. Raises `ConfigurationError` for missing parameters."""
    compiled = interface(contract)
    return compiled.constructor(*(_argument(item, deployment) for item in compiled.constructor_inputs))


def expected_views(contract: str, deployment: Deployment) -> dict[str, Any]:
    """What the contract's constant views must return: its links and its parameters, as far as it has views for them."""
    links = {_screaming(name): address for name, address in contract_addresses(deployment).items()}
    links["ORACLE"] = deployment.oracle
    numbers = {_screaming(name): value for name, value in deployment.parameters.items()}
    compiled: Interface = interface(contract)
    return {name: value for name, value in {**links, **numbers}.items() if name in compiled.functions}


def expected_code(contract: str) -> bytes | None:
    """The code that a contract must have on chain; None when it holds immutables, of which its views tell."""
    compiled = interface(contract)
    return None if compiled.constructor_inputs else compiled.bytecode[-compiled.runtime_size :]


def load_deployment(source: int | str | Path, *, search: Sequence[Traversable] | None = None) -> Deployment:
    """A deployment by chain id or by path.

    A chain id is looked up as ``<id>.json`` in ``$SWORN_DEPLOYMENTS``, then in ``~/.sworn/deployments``, then among the
    files that come with the package. Raises `DeploymentUnknown` naming every place, `ConfigurationError` for a file
    that is no deployment, or one of other contracts than this version's.
    """
    if not isinstance(source, int):
        path = Path(source).expanduser()
        if not path.is_file():
            raise DeploymentUnknown(f"no deployment file at {path}")
        return _parse(path)
    places = [folder / f"{source}.json" for folder in (_folders() if search is None else search)]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        looked = ", ".join(str(place) for place in places)
        raise DeploymentUnknown(f"no deployment is known for chain {source}; looked for {looked}")
    deployment = _parse(found)
    if deployment.chain_id != source:
        raise ConfigurationError(f"{found} is a deployment on chain {deployment.chain_id}, not {source}")
    return deployment


def save_deployment(deployment: Deployment, path: str | Path) -> Path:
    """Writes a deployment file; a path that is a folder gets ``<chain id>.json``. Returns the file."""
    target = Path(path).expanduser()
    if target.is_dir() or not target.suffix:
        target = target / f"{deployment.chain_id}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "chainId": deployment.chain_id,
        "block": deployment.block,
        "contracts": {name: {"address": address} for name, address in contract_addresses(deployment).items()},
        "parameters": dict(deployment.parameters),
    }
    draft = target.with_suffix(".partial")
    draft.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    draft.replace(target)
    return target


def _folders() -> list[Traversable]:
    own: list[Traversable] = [Path.home() / ".sworn" / "deployments", files("sworn") / "deployments"]
    named = os.environ.get(_DIRECTORY_VARIABLE)
    return [Path(named).expanduser(), *own] if named else own


def _parse(place: Traversable) -> Deployment:
    try:
        document = json.loads(place.read_text(encoding="utf-8"))
        contracts, parameters = document["contracts"], document["parameters"]
        # What every deployment has had from the first on: without it the file is something else.
        if "InferenceOracle" in contracts:
            _require_whole(place, contracts, parameters)
        addresses = {field: _address(contracts[contract]["address"]) for field, contract in CONTRACTS.items()}
        return Deployment(
            chain_id=int(document["chainId"]),
            block=int(document["block"]),
            parameters=MappingProxyType({str(key): int(value) for key, value in parameters.items()}),
            **addresses,
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigurationError(f"{place} is not a deployment file: {type(error).__name__} {error}") from error


def _require_whole(place: Traversable, contracts: Mapping[str, Any], parameters: Mapping[str, Any]) -> None:
    missing = [name for name in (*CONTRACTS.values(), *DEFAULT_PARAMETERS) if name not in {*contracts, *parameters}]
    if missing:
        raise ConfigurationError(
            f"{place} describes a deployment of another version, without {', '.join(missing)}: deploy the contracts of "
            "this version with `sworn deploy`, or use the version of sworn that made it"
        )


def _address(value: object) -> Address:
    if not isinstance(value, str) or not is_address(value):
        raise ValueError(f"{value!r} is not an address")
    return Address(to_checksum_address(value))


def _argument(item: Mapping[str, Any], deployment: Deployment) -> Any:
    if item["type"] == "tuple":
        return tuple(_parameter(part["name"], deployment) for part in item["components"])
    if item["type"] == "address":
        links = {_screaming(name): address for name, address in contract_addresses(deployment).items()}
        return {**links, "ORACLE": deployment.oracle}[_screaming(item["name"])]
    return _parameter(item["name"], deployment)


def _parameter(name: str, deployment: Deployment) -> int:
    try:
        return deployment.parameters[name]
    except KeyError:
        raise ConfigurationError(f"the deployment parameter {name!r} is missing") from None


def _screaming(name: str) -> str:
    """``minBondWei`` as the contracts name their constants: ``MIN_BOND_WEI``."""
    return "".join(f"_{letter}" if letter.isupper() and index else letter for index, letter in enumerate(name)).upper()
