"""Puts a watcher together that signs and sends nothing, over a database of its own that is thrown away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import SecretStr

from sworn.abi import interface
from sworn.cli import compose_watcher
from sworn.cli.output import Output
from sworn.codec.hashing import Domain
from sworn.errors import RequestUnknown
from sworn.types import RequestId
from sworn.watcher.assembly import Surroundings
from sworn.watcher.contracts import Contracts
from sworn.watcher.jobs import Job
from sworn.watcher.rehearsal import MuteSigner, Rehearsal, rehearsed
from sworn.watcher.service import Watcher
from sworn.watcher.settings import WatcherSettings
from sworn.watcher.settings_replicas import ReplicaSettings


@contextmanager
def rehearsal(values: WatcherSettings, output: Output) -> Iterator[Watcher]:
    """A watcher as configured, but for its database, its traces and everybody who reads from it.

    Raises `ConfigurationError` that lists every problem.
    """
    with TemporaryDirectory(prefix="sworn-dry-run-") as folder:
        changes: dict[str, Any] = {
            "database_url": SecretStr(f"sqlite:///{folder}/watcher.db"),
            "traces": values.traces.model_copy(update={"folder": Path(folder) / "traces"}),
            "trace_server": None,
            "metrics": None,
            "replica": ReplicaSettings(),
        }
        with compose_watcher.watcher(values.model_copy(update=changes), output, adapt=_muted) as built:
            yield built


def _muted(around: Surroundings) -> Surroundings:
    # SAFETY: the keys are opened, so that it is seen whether they can be, and then let go.
    gateway, deployment = around.gateway, around.deployment
    recent = max(deployment.block, gateway.block("latest").number - around.max_log_range)
    return replace(
        around,
        transaction_signer=MuteSigner(around.transaction_signer.address),
        retiring_signers=(),
        result_signer=MuteSigner(around.result_signer.address),
        other_result_signers=[MuteSigner(each.address) for each in around.other_result_signers],
        start_block=recent if around.start_block is None else around.start_block,
        rehearsal=Rehearsal(
            domain=Domain(chain_id=deployment.chain_id, oracle=deployment.oracle),
            operator=around.operator,
            log=around.log,
        ),
    )


def rehearse_one(watcher: Watcher, request_id: RequestId) -> dict[str, Any]:
    """Runs the model for one request, past or open, and says what would be answered and whether it would be.

    Raises `RequestUnknown`, `ChainError`, and what no failure describes of a run.
    """
    contracts = watcher.steps.looker.contracts
    job = find_request(contracts, request_id, max_log_range=2_000)
    watcher.admission.turn(contracts.gateway.block("latest"))
    state = contracts.state_of(request_id)
    refused = watcher.admission.refusal(
        job,
        deadline=job.request.deadline + state.extension_s,
        barred=contracts.is_barred(request_id, watcher.steps.operator),
    )
    found: dict[str, Any] = {"state": state.status.name.lower(), "would_run": refused is None}
    if refused is not None:
        found |= {"refused": refused.reason, "for_now": refused.for_now}
    if bytes(job.request.model_id) not in watcher.inference.models:
        return {"request_id": request_id} | found
    outcome = watcher.inference.compute(job)
    told = rehearsed(job, outcome, domain=contracts.domain, operator=watcher.steps.operator)
    result_id = told.get("result_id")
    if result_id is not None and any(state.result_tag):
        # The tag of a result on chain is the beginning of its id.
        found["same_as_on_chain"] = bytes(result_id)[: len(state.result_tag)] == state.result_tag
    return told | found


def find_request(contracts: Contracts, request_id: RequestId, *, max_log_range: int) -> Job:
    """The job of a request, from its log. Raises `RequestUnknown`, `ChainError`."""
    topics = (interface("InferenceOracle").topic("InferenceRequested"), bytes(request_id))
    last = contracts.gateway.block("latest").number
    while last >= contracts.deployment.block:
        first = max(last - max_log_range + 1, contracts.deployment.block)
        logs = contracts.gateway.logs(
            addresses=(contracts.deployment.oracle,), topics=topics, from_block=first, to_block=last
        )
        if logs:
            return contracts.job_of(logs[-1])
        last = first - 1
    raise RequestUnknown(f"there is no request 0x{request_id.hex()} in this deployment")
