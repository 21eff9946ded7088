"""Deploying the contracts, and checking that a deployment is what it claims to be."""

from __future__ import annotations

from collections.abc import Mapping

from sworn.abi import interface
from sworn.chain.deployment_files import (
    DEFAULT_PARAMETERS,
    contract_addresses,
    creation_code,
    expected_code,
    expected_views,
    planned_deployment,
)
from sworn.chain.gateway import AsyncGateway, Call
from sworn.chain.pacing import DEFAULT_PACING, AsyncSleep, Pacing, async_sleep
from sworn.chain.signer import Signer
from sworn.chain.transactor_async import AsyncTransactor
from sworn.errors import (
    ChainError,
    ChainIdMismatch,
    CodecError,
    ConfigurationError,
    ContractRevert,
    DeploymentUnknown,
)
from sworn.types import Deployment


async def async_deploy(
    gateway: AsyncGateway,
    signer: Signer,
    *,
    parameters: Mapping[str, int] = DEFAULT_PARAMETERS,
    pacing: Pacing = DEFAULT_PACING,
    sleep: AsyncSleep = async_sleep,
) -> Deployment:
    """Deploys every contract, each in a transaction, and verifies them.

    The contracts name each other in immutables, so their addresses are computed from the deployer's nonce beforehand;
    the account must send nothing else meanwhile. Raises `ChainError` when it did.
    """
    chain_id = await gateway.chain_id()
    planned = planned_deployment(
        deployer=signer.address,
        nonce=await gateway.nonce(signer.address, block="pending"),
        chain_id=chain_id,
        block=(await gateway.block("latest")).number,
        parameters=parameters,
    )
    transactor = AsyncTransactor(gateway=gateway, signer=signer, chain_id=chain_id, pacing=pacing, sleep=sleep)
    for contract, address in contract_addresses(planned).items():
        receipt = await transactor.send(to=None, data=creation_code(contract, planned))
        if receipt.contract_address != address:
            raise ChainError(
                f"{contract} is at {receipt.contract_address}, not at {address}: another transaction of "
                f"{signer.address} came between"
            )
    await async_verify_deployment(gateway, planned, thorough=True)
    return planned


async def async_verify_deployment(gateway: AsyncGateway, deployment: Deployment, *, thorough: bool = False) -> None:
    """Checks that the node serves the deployment's chain and that the contracts are there.

    ``thorough`` also compares links and parameters with what the contracts say, and the code of contracts that have
    neither with this version's. Raises `ChainIdMismatch`, `DeploymentUnknown` when a contract is missing,
    `ConfigurationError` when it is another one.
    """
    chain_id = await gateway.chain_id()
    if chain_id != deployment.chain_id:
        raise ChainIdMismatch(f"the node serves chain {chain_id}, the deployment is on chain {deployment.chain_id}")
    for contract, address in contract_addresses(deployment).items():
        code = await gateway.code(address)
        if not code:
            raise DeploymentUnknown(f"there is no {contract} at {address} on chain {chain_id}")
        if not thorough:
            continue
        if expected_code(contract) not in (None, code):
            raise ConfigurationError(f"the code at {address} is not the {contract} of this version of sworn")
        for view, expected in expected_views(contract, deployment).items():
            try:
                data = await gateway.call(Call(to=address, data=interface(contract).encode(view)))
                actual = interface(contract).decode(view, data)
            except (ContractRevert, CodecError) as error:
                raise ConfigurationError(f"the code at {address} is no {contract}: it has no {view}") from error
            if actual != expected:
                raise ConfigurationError(f"{contract}.{view} at {address} is {actual}, expected {expected}")
