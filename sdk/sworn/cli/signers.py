"""`sworn operator signer`: the keys that sign an operator's results, and their change."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from sworn.cli.command import CHAIN, SIGNING, command
from sworn.cli.output import facts, moment, short
from sworn.cli.receipts import receipt_facts
from sworn.cli.session import Session
from sworn.errors import ConfigurationError, TransientChainError

if TYPE_CHECKING:
    from sworn.client import Event

#: What the contracts write for an authority without end.
NO_END: Final = 2**40 - 1
_POLL_S: Final = 0.5
SignerArgument = Annotated[str, typer.Argument(metavar="ADDRESS", help="Address of the key that signs results.")]
DepthOption = Annotated[
    int, typer.Option(min=0, max=1000, metavar="BLOCKS", help="How deep the new authority must be before it is used.")
]


def register(group: typer.Typer) -> None:
    """Adds `signer` to `operator`."""
    signers = typer.Typer(name="signer", help="Keys that sign the operator's results.", no_args_is_help=True)
    command(signers, "authorize", options=SIGNING)(_authorize)
    command(signers, "revoke", options=SIGNING)(_revoke)
    command(signers, "rotate", options=SIGNING)(_rotate)
    command(signers, "list", options=CHAIN)(_list)
    group.add_typer(signers)


def _authorize(session: Session, address: SignerArgument) -> None:
    """Lets a key sign the operator's results. Two conflicting signatures of it cost stake, whoever holds it."""
    session.connect(signing=True)
    with session.output.busy("authorising"):
        receipt = session.client.operator.authorize_signer(address)
    not_after = session.client.operator.signer_not_after(address)
    session.output.result({"signer": address, "not_after": not_after} | receipt_facts(receipt))


def _revoke(session: Session, address: SignerArgument) -> None:
    """Ends a key's authority, after the longest lifetime that a result may have."""
    session.connect(signing=True)
    with session.output.busy("revoking"):
        receipt = session.client.operator.revoke_signer(address)
    not_after = session.client.operator.signer_not_after(address)
    session.output.result({"signer": address, "not_after": not_after} | receipt_facts(receipt))


def _rotate(
    session: Session,
    new: Annotated[str, typer.Argument(metavar="NEW", help="Address of the key that is to sign.")],
    retire: Annotated[
        str | None, typer.Option(metavar="OLD", help="Ends this key's authority, once the new one's is deep enough.")
    ] = None,
    depth: DepthOption = 12,
) -> None:
    """Changes the key that signs results, with an overlap in which both may.

    First without --retire; then put the new key before the old one in keys.result and restart every watcher; then, once
    their logs say that the new key signs, with --retire. Results of the old key stay valid until they expire.
    """
    session.connect(signing=True)
    operator = session.client.operator
    if retire is not None and retire.lower() == new.lower():
        raise ConfigurationError("the key that comes is the key that goes: name two")
    if retire is not None and operator.signer_not_after(retire) == 0:
        raise ConfigurationError(f"{retire} was never authorised: nothing is to be retired")
    document: dict[str, Any] = {"signer": new}
    if operator.signer_not_after(new) != NO_END:
        with session.output.busy("authorising the new key"):
            document |= receipt_facts(operator.authorize_signer(new))
    _wait_until_deep(session, new, depth)
    document["not_after"] = operator.signer_not_after(new)
    if retire is not None:
        # INVARIANT: the old key's authority ends only when no reorganisation takes back the new one's.
        if operator.signer_not_after(retire) == NO_END:
            with session.output.busy("retiring the old key"):
                document |= {"retired": retire} | receipt_facts(operator.revoke_signer(retire))
        document |= {"retired": retire, "retired_not_after": operator.signer_not_after(retire)}
    session.output.result(document)


def _wait_until_deep(session: Session, address: str, depth: int) -> None:
    """Returns when a key was authorised ``depth`` blocks ago. Raises `TransientChainError` when that takes too long."""
    from sworn.watcher.contracts import Contracts

    contracts = Contracts(gateway=session.gateway, deployment=session.deployment)
    operator, signer = session.signer.address, session.client.operator
    until = time.monotonic() + session.options.timeout
    with session.output.busy(f"waiting for {depth} blocks"):
        while True:
            head = session.gateway.block("latest").number
            deep = max(head - depth, session.deployment.block)
            checked = _address(address)
            if head >= depth and contracts.signer_not_after(operator, checked, block=deep) == NO_END:
                return
            if time.monotonic() >= until or signer.signer_not_after(address) != NO_END:
                raise TransientChainError(
                    f"the authority of {address} is not {depth} blocks deep yet: run the same command again"
                )
            time.sleep(_POLL_S)


def _list(
    session: Session,
    operator: Annotated[
        str | None, typer.Argument(metavar="OPERATOR", help="By default the operator of --config, or of the key.")
    ] = None,
) -> None:
    """Lists the keys that were ever authorised, and until when each may sign."""
    who = session.operator_of(operator)
    with session.output.busy("reading the chain"):
        found = signers_of(session, session.client.operator.account(who).operator, None)
    human = facts({short(item["signer"]): _until(item["not_after"]) for item in found}) if found else "no signers"
    session.output.result(found, human)


def signers_of(session: Session, operator: str, events: list[Event] | None) -> list[dict[str, Any]]:
    """Every key that an operator has authorised, in order; ``events`` as far as they were read."""
    from sworn.client import Event

    if events is None:
        stream = session.client.events(names={"SignerChanged"}, follow=False)
        events = [item for item in stream if isinstance(item, Event) and item.arguments["operator"] == operator]
    addresses = dict.fromkeys(event.arguments["signer"] for event in events if event.name == "SignerChanged")
    now = session.gateway.block("latest").timestamp
    found = []
    for address in addresses:
        not_after = session.client.operator.signer_not_after(address, operator=operator)
        found.append({"signer": address, "not_after": not_after, "active": not_after > now})
    return found


def _address(text: str) -> Any:
    from sworn.client.identities import address_of

    return address_of(text)


def _until(not_after: int) -> str:
    return "without end" if not_after == NO_END else f"results that expire until {moment(not_after)}"
