"""`sworn dispute`: lists disputes, shows them, and makes every move in them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from sworn.cli.command import CHAIN, SIGNING, command
from sworn.cli.dispute_tables import preview_facts, report_facts, shown_list, shown_preview, shown_report
from sworn.cli.output import ether
from sworn.cli.receipts import receipt_facts
from sworn.cli.session import Session
from sworn.cli.values import ShapeOption, amount
from sworn.cli.verifying import InputOption, InputsOption, ModelOption, TraceOption, given
from sworn.errors import ConfigurationError
from sworn.types import DisputeStatus, Part, Target

if TYPE_CHECKING:
    from sworn.chain.gateway import Receipt
    from sworn.client import DisputeHandle

_DAY_S: Final = 86_400.0


class Standing(Enum):
    """Where a dispute stands."""

    OPEN = "open"
    REFUTED = "refuted"
    UPHELD = "upheld"


class Parts(Enum):
    """What of a trace, or of the model that made it, can be demanded."""

    VALUES = "values"
    NODES = "nodes"
    CHUNKS = "chunks"
    WEIGHTS = "weights"
    WEIGHT_NODES = "weight-nodes"
    WEIGHT_CHUNKS = "weight-chunks"
    STEPS = "steps"
    INTERFACE = "interface"


DisputeArgument = Annotated[
    str, typer.Argument(metavar="ID", help="Id of the request, or of the challenged result (0x…).")
]
AccountArgument = Annotated[str | None, typer.Argument(metavar="ACCOUNT", help="By default the account of the key.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Does not ask.")]


def register(app: typer.Typer) -> None:
    """Adds `dispute`."""
    group = typer.Typer(name="dispute", help="Disputes: challenge a false result, and win.", no_args_is_help=True)
    command(group, "list", options=CHAIN)(_list)
    command(group, "show", options=CHAIN)(_show)
    command(group, "open", options=SIGNING)(_open)
    command(group, "join", options=SIGNING)(_join)
    command(group, "demand", options=SIGNING)(_demand)
    command(group, "prove", options=SIGNING)(_prove)
    command(group, "convict", options=SIGNING)(_convict)
    command(group, "resolve", options=SIGNING)(_resolve)
    command(group, "claim", options=SIGNING)(_claim)
    command(group, "withdraw", options=SIGNING)(_withdraw)
    app.add_typer(group)


def _list(
    session: Session,
    status: Annotated[Standing | None, typer.Option(help="Only those that stand so.")] = None,
    operator: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Only those against this operator.")] = None,
    request: Annotated[str | None, typer.Option(metavar="REQUEST_ID", help="Only those over this request.")] = None,
    from_block: Annotated[int | None, typer.Option(min=0, help="By default the deployment's.")] = None,
) -> None:
    """Lists disputes, the newest first."""
    session.connect()
    with session.output.busy("reading the disputes"):
        found = session.client.disputes(
            status=None if status is None else DisputeStatus[status.name],
            operator=operator,
            request_id=request,
            from_block=from_block,
        )
    session.output.result(list(found), shown_list(found))


def _show(session: Session, about: DisputeArgument) -> None:
    """Shows where a dispute stands: what has happened, and who must move until when."""
    session.connect()
    with session.output.busy("looking"):
        report = session.client.dispute(about).state()
    session.output.result(report_facts(report), shown_report(report))


def _open(
    session: Session,
    about: DisputeArgument,
    bond: Annotated[
        int | None, amount("Posts exactly this; by default the smallest bond and a quarter.", "--bond")
    ] = None,
    yes: YesOption = False,
) -> None:
    """Challenges a proposed result. Shows what it costs and can bring, and asks."""
    _post(session, about, bond, yes, what="challenge the result", move=lambda dispute: dispute.open(bond_wei=bond))


def _join(
    session: Session,
    about: DisputeArgument,
    bond: Annotated[int | None, amount("Posts this; by default the opener's bond.", "--bond")] = None,
    yes: YesOption = False,
) -> None:
    """Joins the challengers of a result: whoever proves the fault gets the reward."""
    _post(session, about, bond, yes, what="join the challengers", move=lambda dispute: dispute.join(bond_wei=bond))


def _demand(
    session: Session,
    about: DisputeArgument,
    part: Annotated[Parts, typer.Argument(help="Which part: of the trace first, then of the model.")],
    value: Annotated[int, typer.Option(min=0, help="Number of the value or weight.")] = 0,
    level: Annotated[int, typer.Option(min=0, help="Height of the node; its descendants four levels below.")] = 0,
    index: Annotated[int, typer.Option(min=0, help="Which node of that height, sixteen chunks, or step.")] = 0,
    price: Annotated[int | None, amount("Pays exactly this; by default the price and 27 %.", "--price")] = None,
) -> None:
    """Pays to see a part of the operator's trace or model; silence convicts it."""
    target = Target(part=Part[part.name], value=value, level=level, index=index)
    _move(session, about, "demanding", lambda dispute: dispute.demand(target, price_wei=price))


def _prove(
    session: Session,
    about: DisputeArgument,
    proof: Annotated[
        Path | None, typer.Option("--proof", metavar="FILE", help="An encoded fault proof: commits, waits, proves.")
    ] = None,
    model: ModelOption = None,
    shape: ShapeOption = None,
    trace: TraceOption = None,
    input_: InputOption = None,
    inputs: InputsOption = None,
    budget: Annotated[
        int | None, amount("What demands may cost in all; by default what a conviction pays.", "--budget")
    ] = None,
    wait: Annotated[float, typer.Option("--wait", metavar="SECONDS", min=0, help="How long to play.")] = _DAY_S,
    yes: YesOption = False,
) -> None:
    """Plays the whole dispute: challenges or joins, finds the fault, proves it, and has everything paid out.

    Interrupted, it goes on where it was when it is started again. A result that is not known to be false is not
    challenged.
    """
    materials = given(model=model, shape=shape, trace=trace, input_=input_, inputs=inputs)
    session.connect(signing=True)
    dispute = session.client.dispute(about)
    if proof is None:
        before = dispute.state()
        is_challenger = any(each.account == session.signer.address for each in before.challengers)
        if before.status in (DisputeStatus.NONE, DisputeStatus.OPEN) and not is_challenger:
            _confirm(session, dispute, yes, what="post the bond and play the dispute")
        with session.output.busy("playing the dispute"):
            dispute.play(**materials, budget_wei=budget, timeout=wait, on_step=session.output.note)
    else:
        encoded = _read(proof)
        with session.output.busy("committing to the fault, then proving it"):
            dispute.convict(encoded, timeout=wait)
    report = dispute.state()
    session.output.result(report_facts(report), shown_report(report))


def _convict(session: Session, about: DisputeArgument) -> None:
    """Convicts an operator that owes its trace, or the answer to a demand, for too long. Anyone may."""
    _move(session, about, "convicting", lambda dispute: dispute.convict_silence())


def _resolve(session: Session, about: DisputeArgument) -> None:
    """Ends a dispute in which nobody proved a fault in time. Anyone may."""
    _move(session, about, "resolving", lambda dispute: dispute.resolve())


def _claim(session: Session, about: DisputeArgument, account: AccountArgument = None) -> None:
    """Credits a challenger of a refuted result its bond and its share. Anyone may."""
    _move(session, about, "claiming", lambda dispute: dispute.claim(account))


def _withdraw(session: Session, account: AccountArgument = None) -> None:
    """Pays out what disputes have credited: bonds, rewards, compensations."""
    session.connect(signing=True)
    owner = account or session.signer.address
    amount_wei = session.client.reward(owner)
    if not amount_wei:
        raise ConfigurationError(f"there is nothing to withdraw for {owner}: claim the share first")
    with session.output.busy("withdrawing"):
        receipt = session.client.withdraw_reward(owner)
    session.output.result({"account": owner, "paid_wei": amount_wei} | receipt_facts(receipt))


def _post(
    session: Session,
    about: str,
    bond: int | None,
    yes: bool,
    *,
    what: str,
    move: Callable[[DisputeHandle], Receipt],
) -> None:
    session.connect(signing=True)
    dispute = session.client.dispute(about)
    preview = _confirm(session, dispute, yes, what=what)
    with session.output.busy("posting the bond"):
        receipt = move(dispute)
    posted = preview["bond_wei"] if bond is None else bond
    session.output.result({"result_id": dispute.result_id, "bond_wei": posted} | receipt_facts(receipt))


def _confirm(session: Session, dispute: DisputeHandle, yes: bool, *, what: str) -> dict[str, Any]:
    """Shows what a bond is for, and asks. Raises `ConfigurationError` when none can be posted, or nobody is there."""
    preview = dispute.bond()
    if preview.obstacle:
        raise ConfigurationError(preview.obstacle)
    if yes:
        return preview_facts(preview)
    if session.output.as_json or not sys.stdin.isatty():
        cost = f"a bond of {ether(preview.bond_wei)}"
        raise ConfigurationError(f"this posts {cost}, which is lost if nobody proves a fault: confirm it with --yes")
    session.output.progress.print(shown_preview(preview))
    with session.output.calm():
        typer.confirm(f"{what}?", abort=True, err=True)
    return preview_facts(preview)


def _move(session: Session, about: str, doing: str, move: Callable[[DisputeHandle], Receipt]) -> None:
    session.connect(signing=True)
    dispute = session.client.dispute(about)
    with session.output.busy(doing):
        receipt = move(dispute)
    session.output.result({"result_id": dispute.result_id} | receipt_facts(receipt))


def _read(file: Path) -> bytes:
    try:
        return file.expanduser().read_bytes()
    except OSError as error:
        raise ConfigurationError(f"cannot read {file}: {error.strerror}") from error
