"""`sworn operator`: stake, signers, offers, earnings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sworn.cli import announcing, quarantine, signers
from sworn.cli.command import SIGNING, command
from sworn.cli.output import ether, facts, moment, short
from sworn.cli.receipts import receipt_facts
from sworn.cli.session import Session
from sworn.cli.values import DEFAULT, ModelArgument, ProfileOption, ShapeOption, amount, parse_amount, parse_shapes
from sworn.errors import ConfigurationError
from sworn.types import ModelId

if TYPE_CHECKING:
    from sworn.client import Event

#: What settings have where they say nothing: an offer made by hand is what a watcher then answers.
MAX_WINDOW_S: Final = 7 * 86_400
MAX_CALLBACK_GAS: Final = 500_000
OperatorOption = Annotated[
    str | None, typer.Option("--operator", metavar="ADDRESS", help="By default the account of the key.")
]
AmountArgument = Annotated[int, typer.Argument(metavar="AMOUNT", parser=parse_amount, help="For example 1.5eth.")]


def register(app: typer.Typer) -> None:
    """Adds `operator`."""
    group = typer.Typer(name="operator", help="Operators: stake, signers, offers, earnings.", no_args_is_help=True)
    command(group, "register", options=SIGNING)(_register)
    command(group, "stake", options=SIGNING)(_stake)
    command(group, "serve", options=SIGNING)(_serve)
    command(group, "unbond", options=SIGNING)(_unbond)
    command(group, "withdraw", options=SIGNING)(_withdraw)
    command(group, "status", options=SIGNING)(_status)
    announcing.register(group)
    signers.register(group)
    quarantine.register(group)
    app.add_typer(group)


def _register(
    session: Session,
    stake: Annotated[int, amount("Stake to begin with.", "--stake")] = 0,
    metadata: Annotated[str, typer.Option(metavar="URI", help="Where the operator describes itself.")] = "",
) -> None:
    """Registers the key's account as an operator."""
    session.connect(signing=True)
    with session.output.busy("registering"):
        receipt = session.client.operator.register(stake_wei=stake, metadata_uri=metadata)
    session.output.result({"operator": session.signer.address, "stake_wei": stake} | receipt_facts(receipt))


def _stake(session: Session, stake: AmountArgument, operator: OperatorOption = None) -> None:
    """Adds stake to an operator; anyone may."""
    session.connect(signing=True)
    with session.output.busy("adding stake"):
        receipt = session.client.operator.add_stake(stake, operator=operator)
    session.output.result({"operator": operator or session.signer.address, "added_wei": stake} | receipt_facts(receipt))


def _serve(
    session: Session,
    model: ModelArgument,
    price: Annotated[int, amount("Fee for one result.", "--price")] = 0,
    max_value_at_risk: Annotated[int, amount("Largest value at risk.", "--max-value-at-risk")] = 0,
    max_window: Annotated[int, typer.Option(metavar="SECONDS", min=1, help="Longest challenge window.")] = MAX_WINDOW_S,
    max_callback_gas: Annotated[int, typer.Option(min=0, help="Most gas for a callback.")] = MAX_CALLBACK_GAS,
    profile: ProfileOption = DEFAULT,
    shape: ShapeOption = None,
    stop: Annotated[bool, typer.Option("--stop", help="Withdraws the offer instead.")] = False,
) -> None:
    """Posts, replaces or withdraws the terms on which the operator serves a model."""
    meant: dict[str, Any] = {"profile": profile.value, "input_shapes": parse_shapes(shape)}
    session.connect(signing=True)
    with session.output.busy("posting the offer"):
        receipt = session.client.operator.set_offer(
            model,
            price_wei=price,
            max_value_at_risk_wei=max_value_at_risk,
            max_window_s=max_window,
            max_callback_gas=max_callback_gas,
            active=not stop,
            **meant,
        )
    offer = session.client.operator.offer(model, **meant)
    session.output.result(_offer(offer) | receipt_facts(receipt))


def _unbond(
    session: Session,
    stake: Annotated[int | None, typer.Argument(metavar="AMOUNT", parser=parse_amount, help="How much.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All free stake: the operator leaves.")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="Stops an unbonding; the stake is free again.")] = False,
) -> None:
    """Starts to take stake out. It stays slashable until it is released."""
    if sum((stake is not None, everything, cancel)) != 1:
        raise ConfigurationError("say what to unbond: an amount, or --all, or --cancel")
    session.connect(signing=True)
    facade = session.client.operator
    with session.output.busy("cancelling" if cancel else "unbonding"):
        receipt = facade.cancel_unbonding() if cancel else facade.unbond(stake)
    account = facade.account()
    session.output.result(
        {"unbonding_wei": account.unbonding_wei, "release_at": account.release_at} | receipt_facts(receipt)
    )


def _withdraw(
    session: Session,
    to: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Who receives it; by default the account.")] = None,
) -> None:
    """Pays out earned fees, and stake whose unbonding is over."""
    session.connect(signing=True)
    facade = session.client.operator
    account = facade.account()
    now = session.gateway.block("latest").timestamp
    released = account.unbonding_wei if account.unbonding_wei and account.release_at <= now else 0
    if not account.earned_wei and not released:
        waits = (
            f"; {ether(account.unbonding_wei)} are released at {moment(account.release_at)}"
            if account.unbonding_wei
            else ""
        )
        raise ConfigurationError(f"there is nothing to withdraw{waits}")
    transactions = []
    with session.output.busy("withdrawing"):
        if account.earned_wei:
            transactions.append(facade.withdraw_earnings(to=to).transaction_hash)
        if released:
            transactions.append(facade.withdraw_stake(to=to).transaction_hash)
    session.output.result({"earned_wei": account.earned_wei, "stake_wei": released, "transactions": transactions})


def _status(
    session: Session,
    operator: Annotated[
        str | None, typer.Argument(metavar="ADDRESS", help="By default the operator of --config, or of the key.")
    ] = None,
) -> None:
    """Shows an operator's stake, earnings, signers and offers."""
    who = session.operator_of(operator)
    with session.output.busy("reading the chain"):
        account = session.client.operator.account(who)
        events = _events(session, account.operator)
        keys = signers.signers_of(session, account.operator, events)
        offers = _offers(session, account.operator, events)
    document: dict[str, Any] = {
        "operator": account.operator,
        "registered": account.registered,
        "stake_wei": account.stake_wei,
        "locked_wei": account.locked_wei,
        "free_wei": account.free_wei,
        "earned_wei": account.earned_wei,
        "unbonding_wei": account.unbonding_wei,
        "release_at": account.release_at or None,
        "balance_wei": session.gateway.balance(account.operator),
    }
    human = Group(facts(document), Text(), _table(keys, offers))
    session.output.result(document | {"signers": keys, "offers": offers}, human)


def _events(session: Session, operator: str) -> list[Event]:
    from sworn.client import Event

    stream = session.client.events(names={"SignerChanged", "OfferChanged"}, follow=False)
    return [item for item in stream if isinstance(item, Event) and item.arguments["operator"] == operator]


def _offers(session: Session, operator: str, events: list[Event]) -> list[dict[str, Any]]:
    models = dict.fromkeys(ModelId(event.arguments["modelId"]) for event in events if event.name == "OfferChanged")
    facade = session.client.operator
    return [{"model_id": model} | _offer(facade.offer(model, operator=operator)) for model in models]


def _offer(offer: Any) -> dict[str, Any]:
    return {
        "active": offer.active,
        "price_wei": offer.price_wei,
        "max_value_at_risk_wei": offer.max_value_at_risk_wei,
        "max_window_s": offer.max_window_s,
        "max_callback_gas": offer.max_callback_gas,
    }


def _table(keys: list[dict[str, Any]], offers: list[dict[str, Any]]) -> RenderableType:
    table = Table(box=None, padding=(0, 2), pad_edge=False, header_style="dim")
    for column in ("", "", "state", "price", "value at risk", "window", "callback gas"):
        table.add_column(column, no_wrap=True)
    for signer in keys:
        table.add_row("signer", short(signer["signer"]), "active" if signer["active"] else "ended", "", "", "", "")
    for offer in offers:
        table.add_row(
            "offer",
            short(offer["model_id"]),
            "active" if offer["active"] else "withdrawn",
            ether(offer["price_wei"]),
            ether(offer["max_value_at_risk_wei"]),
            f"{offer['max_window_s']} s",
            f"{offer['max_callback_gas']:,}",
        )
    return table
