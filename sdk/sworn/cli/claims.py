"""`sworn claims`: the results of others that a challenger looks at, from its database; whether it runs or not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from sworn.cli.command import OUTPUT, command
from sworn.cli.database import FilesOption, opened
from sworn.cli.session import Session
from sworn.cli.stored import LIMIT, identity_of, table_of
from sworn.errors import ConfigurationError
from sworn.types import ResultId

if TYPE_CHECKING:
    from sworn.watcher.challenger.claims import Claim
    from sworn.watcher.challenger.store import ClaimStore

ResultArgument = Annotated[str, typer.Argument(metavar="RESULT_ID", help="Id of the result (0x…).")]


class Statuses(Enum):
    """How far a claim has come; the challenger's own words, which take too long to load for every command."""

    SEEN = "seen"
    FALSE = "false"
    HONEST = "honest"
    SKIPPED = "skipped"
    UNCHECKED = "unchecked"
    OBSERVED = "observed"
    SETTLED = "settled"
    ORPHANED = "orphaned"
    PARKED = "parked"


def register(app: typer.Typer) -> None:
    """Adds `claims`."""
    group = typer.Typer(name="claims", help="The results that a challenger looks at.", no_args_is_help=True)
    command(group, "list", options=OUTPUT)(_list)
    command(group, "show", options=OUTPUT)(_show)
    command(group, "retry", options=OUTPUT)(_retry)
    app.add_typer(group)


def _list(
    session: Session,
    config: FilesOption = None,
    status: Annotated[
        list[Statuses] | None,
        typer.Option(help="Only these; repeat. By default all that are open, and parked ones."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = LIMIT,
) -> None:
    """Counts all claims, and lists some with the reason why they are where they are."""
    with _store(config) as store:
        from sworn.watcher.challenger.claims import ClaimStatus

        chosen = [ClaimStatus(each.value) for each in status or ()]
        wanted = chosen or [each for each in ClaimStatus if not each.terminal or each is ClaimStatus.PARKED]
        counts, claims = store.counts(), store.listed(wanted, limit=limit)
    named = {each.value: count for each, count in counts.items()}
    session.output.result({"counts": named, "claims": [_plain(claim) for claim in claims]}, _table(named, claims))


def _show(session: Session, result_id: ResultArgument, config: FilesOption = None) -> None:
    """Shows all that is remembered of one claim."""
    with _store(config) as store:
        claim = store.claim(ResultId(identity_of(result_id, subject="result")))
    if claim is None:
        raise ConfigurationError(f"no claim has the id {result_id}: see `sworn claims list`")
    session.output.result(_plain(claim) | _history(claim))


def _retry(session: Session, result_id: ResultArgument, config: FilesOption = None) -> None:
    """Has a claim that was parked, skipped or only observed begin anew: after what stopped it has been repaired.

    The running challenger takes it up at its next turn, and checks it if its window is still open.
    """
    with _store(config) as store:
        claim = store.revive(ResultId(identity_of(result_id, subject="result")))
    if claim is None:
        raise ConfigurationError(
            f"{result_id} is no claim that was parked, skipped or only observed: see `sworn claims list`"
        )
    session.output.result(_plain(claim), f"{result_id} begins anew")


@contextmanager
def _store(config: FilesOption) -> Iterator[ClaimStore]:
    """The challenger's memory. Raises `ConfigurationError`, `StoreError`."""
    with opened(config) as (database, _):
        from sworn.watcher.challenger.store import ClaimStore
        from sworn.watcher.store import migration

        migration.require_current(database)
        yield ClaimStore(database=database)


def _plain(claim: Claim) -> dict[str, Any]:
    return {
        "result_id": "0x" + claim.result_id.hex(),
        "request_id": "0x" + claim.request_id.hex(),
        "status": claim.status.value,
        "reason": claim.reason,
        "attempts": claim.attempts,
        "operator": claim.operator,
        "model_id": "0x" + claim.request.model_id.hex(),
        "block_number": claim.block_number,
    }


def _history(claim: Claim) -> dict[str, Any]:
    request = claim.request
    return {
        "requester": request.requester,
        "fee_wei": request.fee_wei,
        "value_at_risk_wei": request.value_at_risk_wei,
        "window_s": request.window_s,
        "deadline": request.deadline,
        "input_bytes": len(claim.input),
        "output_bytes": len(claim.output),
        "trace_root": "0x" + claim.trace_root.hex(),
        "transaction": "0x" + claim.transaction_hash.hex(),
        "exposure_wei": claim.exposure_wei,
        "not_before": {"wall_clock": claim.retry_at, "block_time": claim.due_at},
        "settled_block": claim.settled_block,
    }


def _table(counts: dict[str, int], claims: Sequence[Claim]) -> Table:
    rows = ((claim.result_id, claim.status.value, claim.request.deadline, claim.reason) for claim in claims)
    return table_of(counts, rows, subject="result", nothing="no claims")
