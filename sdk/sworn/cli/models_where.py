"""`sworn model where`: who serves a model, at what price, with what stake and record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sworn.cli.command import CHAIN, command
from sworn.cli.output import ether, moment, short
from sworn.cli.session import Session
from sworn.cli.values import DEFAULT, ProfileOption, ShapeOption, parse_shapes
from sworn.errors import ConfigurationError

if TYPE_CHECKING:
    from sworn.client.track_records import Announcement, TrackRecord


def register(group: typer.Typer) -> None:
    """Adds the command to `model`."""
    command(group, "where", options=CHAIN)(_where)


def _where(
    session: Session,
    model: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="Path of an .onnx file, or a model id (0x…).")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every model that somebody has announced.")] = False,
    active: Annotated[bool, typer.Option("--active", help="Leaves out withdrawn offers.")] = False,
    profile: ProfileOption = DEFAULT,
    shape: ShapeOption = None,
) -> None:
    """Shows who serves a model: price, limits, stake, and how well each operator has answered so far.

    What has been counted from the chain's events is kept below the home directory, so that only new ones are read.
    """
    if (model is None) is not everything:
        raise ConfigurationError("say which model: a file or an id, or --all")
    identity = None
    if model is not None:
        identity = _model_id(model, profile.value, parse_shapes(shape))
    with session.output.busy("reading the chain"):
        found = session.reader.directory.where(identity)
    shown = [item for item in found if item.offer.active or not active]
    document = [_facts(item) for item in shown]
    session.output.result({"operators": document}, _human(shown) if shown else "nobody has announced it")


def _model_id(model: str, profile: str, shapes: dict[str, tuple[int, ...]] | None) -> Any:
    from sworn.client.identities import from_source, named_model
    from sworn.engine.identification import profile_of
    from sworn.engine.protocol import ModelSource

    named = named_model(model)
    if isinstance(named, bytes):
        source = ModelSource(artifact=named, profile=profile_of(profile), input_shapes=shapes or {})
        return from_source(source).model_id
    return named.model_id


def _facts(found: Announcement) -> dict[str, Any]:
    return {
        "model_id": found.model_id,
        "operator": found.operator,
        "active": found.offer.active and found.registered,
        "price_wei": found.offer.price_wei,
        "max_value_at_risk_wei": found.offer.max_value_at_risk_wei,
        "max_window_s": found.offer.max_window_s,
        "max_callback_gas": found.offer.max_callback_gas,
        "stake_wei": found.stake_wei,
        "free_wei": found.free_wei,
        "locked_wei": found.locked_wei,
        "leaving_at": found.not_after,
        "record": found.record,
    }


def _human(found: list[Announcement]) -> RenderableType:
    models = dict.fromkeys(item.model_id for item in found)
    parts: list[RenderableType] = []
    for model_id in models:
        parts += [
            Text("0x" + model_id.hex(), style="bold"),
            _table([i for i in found if i.model_id == model_id]),
            Text(),
        ]
    return Group(*parts[:-1])


def _table(found: list[Announcement]) -> Table:
    table = Table(box=None, padding=(0, 2), pad_edge=False, header_style="dim")
    for column in (
        "operator",
        "state",
        "price",
        "value at risk",
        "free stake",
        "locked",
        "final",
        "lost",
        "unanswered",
    ):
        table.add_column(column, no_wrap=True)
    table.add_column("median answer", no_wrap=True)
    for item in found:
        record = item.record
        table.add_row(
            short(item.operator),
            _state(item),
            ether(item.offer.price_wei),
            ether(item.offer.max_value_at_risk_wei),
            ether(item.free_wei),
            ether(item.locked_wei),
            f"{record.finalized} of {record.proposed}",
            _lost(record),
            str(record.failed + record.missed),
            "" if record.median_blocks is None else f"{record.median_blocks:g} blocks",
        )
    return table


def _state(found: Announcement) -> str:
    if not found.registered:
        return "gone"
    if not found.offer.active:
        return "withdrawn"
    return "active" if found.not_after is None else f"until {moment(found.not_after)}"


def _lost(record: TrackRecord) -> Text:
    """Results refuted, and every other conviction of the operator, whatever the model."""
    count = max(record.refuted, record.disputes_lost) + record.equivocations
    return Text(str(count), style="bold red" if count else "")
