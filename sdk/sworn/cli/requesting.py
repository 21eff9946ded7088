"""`sworn request`, `status`, `result`, `expire`, `finalize`, `retry`, `withdraw`: what a requester does."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import numpy as np
import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sworn.cli.command import CHAIN, SIGNING, command
from sworn.cli.output import array, facts
from sworn.cli.receipts import receipt_facts
from sworn.cli.session import Session
from sworn.cli.values import (
    DEFAULT,
    ModelArgument,
    ProfileOption,
    RequestArgument,
    ShapeOption,
    amount,
    parse_shapes,
    parse_tensors,
)
from sworn.errors import ArtifactError, ConfigurationError, ModelError

if TYPE_CHECKING:
    from sworn.client import InferenceResult, RequestHandle, RequestReport

_WAIT_S: Final = 600.0


class Until(Enum):
    """How far a result must have come."""

    #: In its challenge window; it can still be refuted.
    PROPOSED = "proposed"
    #: It stands.
    FINAL = "final"


class Assurances(Enum):
    """When a consumer is called."""

    FINAL = "final"
    PROVISIONAL = "provisional"


SaveOption = Annotated[Path | None, typer.Option(metavar="FILE", help="Also writes the outputs to an .npz file.")]
WaitOption = Annotated[float, typer.Option("--wait", metavar="SECONDS", min=0, help="How long to wait.")]
UntilOption = Annotated[Until, typer.Option(help="How far the result must have come.")]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    command(app, "request", options=SIGNING)(_request)
    command(app, "status", options=CHAIN)(_status)
    command(app, "result", options=CHAIN)(_result)
    command(app, "expire", options=SIGNING)(_expire)
    command(app, "finalize", options=SIGNING)(_finalize)
    command(app, "retry", options=SIGNING)(_retry)
    command(app, "withdraw", options=SIGNING)(_withdraw)


def _request(
    session: Session,
    model: ModelArgument,
    input_: Annotated[
        list[str] | None,
        typer.Option("--input", "-i", metavar="NAME=VALUE", help="name=@file.npy or name=[[1.0, 2.0]]; repeat."),
    ] = None,
    inputs: Annotated[Path | None, typer.Option(metavar="FILE", help="All inputs by name, as .json or .npz.")] = None,
    operator: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help='An operator, or "any"; by default the cheapest that serves it.'),
    ] = None,
    fee: Annotated[int | None, amount("Pays exactly this; by default the operator's price.", "--fee")] = None,
    max_fee: Annotated[int | None, amount("Refuses operators that ask more.", "--max-fee")] = None,
    value_at_risk: Annotated[
        int, amount("What you stand to lose by a false answer; the operator locks twice that.", "--value-at-risk")
    ] = 0,
    window: Annotated[int | None, typer.Option(metavar="SECONDS", min=1, help="Challenge window.")] = None,
    deadline: Annotated[float, typer.Option(metavar="SECONDS", min=1, help="Time for an answer, from now.")] = 600.0,
    callback_gas: Annotated[int, typer.Option(min=0, help="Gas for a callback to the account; 0 = none.")] = 0,
    assurance: Annotated[Assurances, typer.Option(help="When the callback comes.")] = Assurances.FINAL,
    refund_to: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Who gets refunds; by default you.")] = None,
    profile: ProfileOption = DEFAULT,
    shape: ShapeOption = None,
    wait: WaitOption = 0.0,
    until: UntilOption = Until.FINAL,
    quote: Annotated[bool, typer.Option("--quote", help="Only says what it would cost.")] = False,
    save: SaveOption = None,
) -> None:
    """Asks for the output of a model, and with --wait for its result."""
    terms: dict[str, Any] = {
        "operator": operator,
        "value_at_risk": value_at_risk,
        "window": window,
        "deadline": deadline,
        "callback": callback_gas,
        "max_fee": max_fee,
        "profile": profile.value,
        "input_shapes": parse_shapes(shape),
    }
    if quote:
        session.connect()
        with session.output.busy("asking who serves it"):
            offer = session.client.estimate_fee(model=model, **terms)
        session.output.result(
            {
                "operator": offer.operator,
                "fee_wei": offer.fee_wei,
                "bond_wei": offer.bond_wei,
                "gas_estimate_wei": offer.gas_estimate_wei,
            }
        )
        return
    tensors = parse_tensors(input_ or [], inputs)
    session.connect(signing=True)
    with session.output.busy("sending the request"):
        handle = session.client.request(
            model=model, inputs=tensors, fee=fee, assurance=assurance.value, refund_to=refund_to, **terms
        )
    made = _made(handle)
    if wait == 0:
        session.output.result(made)
        return
    session.output.note(f"request 0x{handle.request_id.hex()} is on chain")
    _tell_result(session, handle, wait=wait, until=until, save=save, before=made)


def _result(
    session: Session,
    request_id: RequestArgument,
    wait: WaitOption = 0.0,
    until: UntilOption = Until.FINAL,
    model: Annotated[
        str | None, typer.Option(metavar="FILE", help="The .onnx file, for the names of the outputs.")
    ] = None,
    shape: ShapeOption = None,
    save: SaveOption = None,
) -> None:
    """Shows the result of a request; its digest, root and signature are recomputed here."""
    session.connect()
    handle = session.client.handle(request_id)
    asked = handle.request.model_id
    try:
        if model is None:
            session.client.schema(asked, input_shapes=parse_shapes(shape))
        else:
            profile = session.client.model(asked).model.profile
            session.client.schema(model, profile=profile, input_shapes=parse_shapes(shape))
    except (ArtifactError, ModelError):
        # Without the artifact, or the shapes that it leaves open, outputs have no names: they are shown by position.
        if model is not None:
            raise
    _tell_result(session, handle, wait=wait, until=until, save=save, before={})


def _status(session: Session, request_id: RequestArgument) -> None:
    """Says where a request stands, why, and what to do about it; of a dispute, `sworn dispute show` says more."""
    session.connect()
    with session.output.busy("looking"):
        report = session.client.status(request_id)
    session.output.result(_report(report))


def _expire(session: Session, request_id: RequestArgument) -> None:
    """Ends a request that nobody answered in time; the fee is credited. Anyone may."""
    session.connect(signing=True)
    with session.output.busy("expiring"):
        receipt = session.client.expire(request_id)
    session.output.result({"request_id": request_id} | receipt_facts(receipt))


def _finalize(session: Session, request_id: RequestArgument) -> None:
    """Makes a proposed result final after its window. Anyone may; the operator's watcher does it by itself."""
    session.connect(signing=True)
    with session.output.busy("finalizing"):
        receipt = session.client.finalize(request_id)
    session.output.result({"request_id": request_id} | receipt_facts(receipt))


def _retry(session: Session, request_id: RequestArgument) -> None:
    """Repeats a request's failed callback. Anyone may."""
    session.connect(signing=True)
    with session.output.busy("repeating the callback"):
        receipt = session.client.retry_callback(request_id)
    session.output.result({"request_id": request_id} | receipt_facts(receipt))


def _withdraw(
    session: Session,
    account: Annotated[str | None, typer.Argument(help="Who is paid; by default the account of the key.")] = None,
) -> None:
    """Pays out refunds, rewards and compensations."""
    session.connect(signing=True)
    client = session.client
    owner = account or session.signer.address
    credit, reward = client.credit(owner), client.reward(owner)
    if not credit and not reward:
        raise ConfigurationError(f"there is nothing to withdraw for {owner}")
    with session.output.busy("withdrawing"):
        refund = client.withdraw(owner) if credit else None
        rewarded = client.withdraw_reward(owner) if reward else None
    session.output.result(
        {
            "account": owner,
            "refunded_wei": credit,
            "rewarded_wei": reward,
            "transactions": [receipt.transaction_hash for receipt in (refund, rewarded) if receipt is not None],
        }
    )


def _tell_result(
    session: Session, handle: RequestHandle, *, wait: float, until: Until, save: Path | None, before: dict[str, Any]
) -> None:
    with session.output.busy("waiting for the result"):
        result = handle.wait(timeout=wait, until=until.value)
    if save is not None:
        _save(save, result)
    session.output.result(before | _result_facts(result), _shown_result(before, result))


def _save(file: Path, result: InferenceResult) -> None:
    path = file.expanduser()
    try:
        with path.open("wb") as target:
            np.savez(target, **dict(result.outputs))  # type: ignore[arg-type]
    except OSError as error:
        raise ConfigurationError(f"cannot write {file}: {error.strerror}") from error


def _made(handle: RequestHandle) -> dict[str, Any]:
    request = handle.request
    return {
        "request_id": handle.request_id,
        "model_id": request.model_id,
        "operator": request.operator,
        "fee_wei": request.fee_wei,
        "value_at_risk_wei": request.value_at_risk_wei,
        "window_s": request.window_s,
        "deadline": request.deadline,
        "transaction_hash": handle.transaction_hash,
        "block_number": handle.block_number,
    }


def _result_facts(result: InferenceResult) -> dict[str, Any]:
    return {
        "request_id": result.request_id,
        "status": result.status,
        "final": result.final,
        "outputs": {name: _tensor(value) for name, value in result.outputs.items()},
        "result_id": result.result_id,
        "model_id": result.model_id,
        "profile": result.profile,
        "promise": result.profile.promise,
        "operator": result.operator,
        "signer": result.signer,
        "signature": result.signature,
        "round": result.round,
        "proposal_transaction": result.proposal_transaction,
        "final_transaction": result.final_transaction,
    }


def _tensor(value: Any) -> dict[str, Any]:
    return {"dtype": str(value.dtype), "shape": list(value.shape), "data": value}


def _shown_result(before: dict[str, Any], result: InferenceResult) -> RenderableType:
    known = before | {name: value for name, value in _result_facts(result).items() if name != "outputs"}
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for name, value in result.outputs.items():
        table.add_row(name, Text(array(value)))
    return Group(table, Text(), facts(known))


def _report(report: RequestReport) -> dict[str, Any]:
    request = report.request
    return {
        "request_id": report.request_id,
        "status": report.status,
        "cause": report.cause,
        "reason": report.reason,
        "next_step": report.next_step,
        "profile": report.profile,
        "promise": None if report.profile is None else report.profile.promise,
        "fee_wei": None if request is None else request.fee_wei,
        "operator": None if request is None else request.operator,
        "deadline": report.deadline,
        "window_closes_at": report.window_closes_at,
        "dispute_ends_at": None if report.dispute is None else report.dispute.ends_at,
        "now": report.now,
        "failure_code": report.failure_code,
        "callback_error": None if report.callback_error is None else str(report.callback_error),
        "offers": [
            {
                "operator": offer.operator,
                "price_wei": offer.offer.price_wei,
                "obstacles": [obstacle.text for obstacle in offer.obstacles],
            }
            for offer in report.offers
        ],
    }
