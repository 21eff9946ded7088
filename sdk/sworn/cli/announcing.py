"""`sworn operator announce`: makes the offers on chain those of a settings file."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.table import Table
from rich.text import Text

from sworn.cli.command import SIGNING, command
from sworn.cli.output import ether, short
from sworn.cli.session import Session
from sworn.errors import ConfigurationError
from sworn.types import DEFAULT_PROFILE, Address, ModelId, Offer, Profile

if TYPE_CHECKING:
    from sworn.watcher.settings import ModelSettings

_NOTHING: Final = Offer(active=False, price_wei=0, max_value_at_risk_wei=0, max_window_s=0, max_callback_gas=0)
_TERMS: Final = ("price_wei", "max_value_at_risk_wei", "max_window_s", "max_callback_gas")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One offer as it is, and as it will be."""

    model_id: ModelId
    before: Offer
    after: Offer

    @property
    def kind(self) -> str:
        """What happens to it, in a word."""
        if self.before == self.after or not (self.before.active or self.after.active):
            return "unchanged"
        if not self.after.active:
            return "withdraw"
        return "change" if self.before.active else "announce"


def register(group: typer.Typer) -> None:
    """Adds the command to `operator`."""
    command(group, "announce", options=SIGNING)(_announce)


def _announce(
    session: Session,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Shows what would change, and sends nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Sends without asking.")] = False,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Withdraws the file's models instead.")] = False,
    only: Annotated[bool, typer.Option("--only", help="Withdraws every model that is not in the file.")] = False,
) -> None:
    """Announces all models of a settings file on its terms, in as many transactions as there are differences.

    Running it again changes nothing.
    """
    operator = _operator(session, dry_run=dry_run)
    wanted = {model_id: _NOTHING if withdraw else offer for model_id, offer in _wanted(session).items()}
    with session.output.busy("reading the chain"):
        _require_standing(session, operator, wanted)
        changes = plan(session.reader.directory.offers_of(operator), wanted, only=only)
    due = [change for change in changes if change.kind != "unchanged"]
    document: dict[str, Any] = {"operator": operator, "changes": [_facts(change) for change in changes]}
    if dry_run or not due:
        session.output.result(document | {"transactions": []}, _table(changes))
        return
    if not session.output.as_json:
        session.output.progress.print(_table(changes))
    if not yes:
        _confirm(session, len(due))
    session.output.result(document | {"transactions": [_send(session, change) for change in due]}, f"{len(due)} sent")


def plan(current: Mapping[ModelId, Offer], wanted: Mapping[ModelId, Offer], *, only: bool) -> list[Change]:
    """What makes the offers on chain the wanted ones; with ``only``, others end."""
    changes = [
        Change(model_id=model_id, before=current.get(model_id, _NOTHING), after=offer)
        for model_id, offer in wanted.items()
    ]
    return changes + [
        Change(model_id=model_id, before=offer, after=_NOTHING if only else offer)
        for model_id, offer in current.items()
        if offer.active and model_id not in wanted
    ]


def _operator(session: Session, *, dry_run: bool) -> Address:
    """Whose offers they are. Raises `ConfigurationError` where the key is another's."""
    named = session.required_settings.operator_address
    if dry_run and named is not None:
        return named
    session.connect(signing=True)
    if named not in (None, session.signer.address):
        raise ConfigurationError(
            f"the key is that of {session.signer.address}, and only {named} can change its offers: name the operator's "
            "own key with --keystore"
        )
    return session.signer.address


def _wanted(session: Session) -> dict[ModelId, Offer]:
    found: dict[ModelId, Offer] = {}
    for entry in session.required_settings.models:
        with session.output.busy(f"compiling {entry.artifact or entry.model_id}"):
            model_id = _identity(entry)
        if model_id in found:
            raise ConfigurationError(f"the model 0x{model_id.hex()} is configured twice")
        found[model_id] = Offer(
            active=True,
            price_wei=entry.price_wei,
            max_value_at_risk_wei=entry.max_value_at_risk_wei,
            max_window_s=entry.max_window_s,
            max_callback_gas=entry.max_callback_gas,
        )
    return found


def _identity(entry: ModelSettings) -> ModelId:
    """The id of a configured model, computed from its file where there is one. Raises `ModelError`."""
    from sworn.engine.identification import identify, profile_of
    from sworn.engine.protocol import ModelSource
    from sworn.model import read_artifact

    if entry.artifact is None:
        return ModelId(bytes.fromhex((entry.model_id or "").removeprefix("0x")))
    profile = DEFAULT_PROFILE if entry.profile is None else profile_of(entry.profile.value)
    source = ModelSource(artifact=read_artifact(entry.artifact), profile=profile, input_shapes=entry.input_shapes)
    found = identify(source).model_id
    if entry.model_id not in (None, "0x" + found.hex()):
        raise ConfigurationError(f"{entry.artifact} is the model 0x{found.hex()}, not {entry.model_id} as configured")
    return found


def _require_standing(session: Session, operator: Address, wanted: Mapping[ModelId, Offer]) -> None:
    """Raises `ConfigurationError` for an operator or a model that the chain does not know."""
    from sworn.abi import interface
    from sworn.chain.gateway import Call

    if not session.reader.operator.account(operator).registered:
        raise ConfigurationError(f"{operator} is not a registered operator: run `sworn operator register`")
    registry = interface("ModelRegistry")
    for model_id in wanted:
        call = Call(to=session.deployment.model_registry, data=registry.encode("profileOf", model_id))
        if registry.decode("profileOf", session.gateway.call(call)) == Profile.NONE:
            raise ConfigurationError(f"the model 0x{model_id.hex()} is not registered: run `sworn model register`")


def _confirm(session: Session, count: int) -> None:
    if session.output.as_json or not sys.stdin.isatty():
        raise ConfigurationError("nothing has been sent: look at the differences with --dry-run, and send with --yes")
    with session.output.calm():
        typer.confirm(f"send {count} transaction{'s' if count > 1 else ''}?", abort=True, err=True)


def _send(session: Session, change: Change) -> bytes:
    with session.output.busy(f"{change.kind}: 0x{change.model_id.hex()[:8]}…"):
        receipt = session.client.operator.set_offer(
            change.model_id, active=change.after.active, **{name: getattr(change.after, name) for name in _TERMS}
        )
    return receipt.transaction_hash


def _facts(change: Change) -> dict[str, Any]:
    return {
        "model_id": change.model_id,
        "change": change.kind,
        "before": change.before if change.before.active else None,
        "after": change.after if change.after.active else None,
    }


def _table(changes: list[Change]) -> Table:
    table = Table(box=None, padding=(0, 2), pad_edge=False, header_style="dim")
    for column in ("model", "", "price", "value at risk", "window", "callback gas"):
        table.add_column(column, no_wrap=True)
    for change in changes:
        cells = [_cell(change, name) for name in _TERMS]
        table.add_row(short(change.model_id), change.kind, *cells)
    return table


def _cell(change: Change, name: str) -> Text:
    before, after = (_shown(offer, name) for offer in (change.before, change.after))
    if before == after:
        return Text(after)
    return Text(before, style="dim strike").append(" ").append(after, style="bold not dim not strike")


def _shown(offer: Offer, name: str) -> str:
    value = getattr(offer, name)
    if not offer.active:
        return ""
    if name.endswith("_wei"):
        return ether(value)
    return f"{value} s" if name.endswith("_s") else f"{value:,}"
