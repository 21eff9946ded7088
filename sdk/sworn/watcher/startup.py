"""What must be true before the watcher starts; everything that is not is said at once, with what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sworn.errors import ChainIdMismatch, ConfigurationError
from sworn.types import Address, Profile
from sworn.watcher.contracts import Contracts
from sworn.watcher.policy import ServedModel
from sworn.watcher.store.jobs import JobStore
from sworn.watcher.store.migration import require_current
from sworn.watcher.store.strays import stray_senders

#: Runs that must fit the time to commit to a trace: a traced one is slower, one may fail, others may wait before it.
RUNS_IN_TRACE_TIME = 4


def check_startup(
    *,
    contracts: Contracts,
    store: JobStore,
    operator: Address,
    result_signers: Sequence[Address],
    sender: Address,
    models: Iterable[ServedModel],
    retiring: Sequence[Address] = (),
) -> tuple[str, ...]:
    """Checks chain, database and the operator's standing; returns warnings about what limits the service.

    Raises `ChainIdMismatch`, `StoreError` for a database that is not migrated, and `ConfigurationError` that lists
    every problem.
    """
    deployment = contracts.deployment
    served = contracts.gateway.chain_id()
    if served != deployment.chain_id:
        raise ChainIdMismatch(f"the node serves chain {served}, the deployment is on chain {deployment.chain_id}")
    require_current(store.database)
    store.claim(chain_id=deployment.chain_id, oracle=deployment.oracle)
    missing = [
        f"there is no contract at {address}, where the deployment has its {name}: check the deployment file"
        for name, address in (("oracle", deployment.oracle), ("operator registry", deployment.operator_registry))
        if not contracts.gateway.code(address)
    ]
    problems = missing or _problems(contracts, operator=operator, result_signers=result_signers, models=models)
    if problems:
        raise ConfigurationError("the watcher cannot start:\n  " + "\n  ".join(problems))
    strays = stray_senders(store.database, chain_id=served, known=[sender, *retiring])
    return (*_warnings(contracts, operator=operator, sender=sender, models=models), *_stray_warnings(strays))


def _stray_warnings(strays: Mapping[Address, int]) -> list[str]:
    return [
        f"{count} transactions of {address} are under way, and its key is not configured: nobody bumps them, and their "
        "jobs wait for them. Add the key behind the new one in keys.transaction until they are through"
        for address, count in strays.items()
    ]


def _problems(
    contracts: Contracts, *, operator: Address, result_signers: Sequence[Address], models: Iterable[ServedModel]
) -> list[str]:
    if not contracts.account_of(operator).registered:
        return [f"{operator} is not a registered operator: run `sworn operator register` with that account"]
    problems: list[str] = []
    now = contracts.gateway.block("latest").timestamp
    ends = {signer: contracts.signer_not_after(operator, signer) for signer in result_signers}
    if not any(not_after > now for not_after in ends.values()):
        problems.extend(_unauthorised(operator, signer, not_after) for signer, not_after in ends.items())
    problems.extend(
        f"the model 0x{model.model_id.hex()} is not registered on this chain: run `sworn model register`"
        for model in models
        if contracts.profile_of(model.model_id) is Profile.NONE
    )
    return problems


def _unauthorised(operator: Address, signer: Address, not_after: int) -> str:
    if not_after == 0:
        return f"{signer} may not sign results for {operator}: as {operator}, run `sworn operator signer authorize`"
    return f"the authority of {signer} to sign for {operator} ended at {not_after} (unix seconds)"


def _warnings(
    contracts: Contracts, *, operator: Address, sender: Address, models: Iterable[ServedModel]
) -> tuple[str, ...]:
    warnings = []
    if contracts.gateway.balance(sender) == 0:
        warnings.append(f"{sender} has no funds: it cannot pay for transactions")
    if contracts.free_stake_of(operator) < contracts.bond_for(0):
        warnings.append(f"the free stake of {operator} does not cover a single bond: add stake")
    trace_s = contracts.deployment.parameters.get("traceSeconds", 0)
    warnings.extend(
        f"a run of the model 0x{model.model_id.hex()} may take {model.limits.timeout_s:g} s, and a challenged result "
        f"needs its trace within {trace_s} s: lower timeout_s, or serve it elsewhere"
        for model in models
        if model.profile is Profile.EXACT and RUNS_IN_TRACE_TIME * model.limits.timeout_s > trace_s
    )
    warnings.extend(
        f"no active offer for the model 0x{model.model_id.hex()}: requests that name no operator are not answered"
        for model in models
        if not contracts.offer_of(operator, model.model_id).active
    )
    return tuple(warnings)
