"""`sworn deploy`: the contracts, on a chain that has none yet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sworn.cli.command import SIGNING, command
from sworn.cli.places import HOME
from sworn.cli.session import Session
from sworn.errors import ConfigurationError
from sworn.types import Deployment


def register(app: typer.Typer) -> None:
    """Adds `deploy`."""
    command(app, "deploy", options=SIGNING)(_deploy)


def _deploy(
    session: Session,
    parameter: Annotated[
        list[str] | None,
        typer.Option(
            "--parameter", "-p", metavar="NAME=NUMBER", help="Replaces a default, for example minWindowSeconds=300."
        ),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where the deployment file goes; by default ~/.sworn/deployments."),
    ] = None,
) -> None:
    """Deploys the contracts, each in a transaction, verifies them, and writes the deployment file.

    Nobody has rights over a deployment, and its parameters can never be changed.
    """
    from sworn.chain.deployment import deploy
    from sworn.chain.deployment_files import CONTRACTS, DEFAULT_PARAMETERS, save_deployment
    from sworn.chain.pacing import Pacing

    parameters = {**DEFAULT_PARAMETERS, **_parameters(parameter or [])}
    pacing = Pacing(poll_s=0.5, transaction_timeout_s=session.options.timeout)
    with session.output.busy(f"deploying {len(CONTRACTS)} contracts"):
        deployment = deploy(session.gateway, session.signer, parameters=parameters, pacing=pacing)
    target = save or (HOME / "deployments" / f"{deployment.chain_id}.json").expanduser()
    if target.is_file():
        session.output.note(f"replacing {target}, which described another deployment")
    file = save_deployment(deployment, target)
    session.output.result(facts_of(deployment) | {"file": file})


def facts_of(deployment: Deployment) -> dict[str, object]:
    """A deployment as names and values."""
    from sworn.chain.deployment_files import contract_addresses

    return {
        "chain_id": deployment.chain_id,
        "block": deployment.block,
        "contracts": contract_addresses(deployment),
        "parameters": dict(deployment.parameters),
    }


def _parameters(items: list[str]) -> dict[str, int]:
    from sworn.chain.deployment_files import DEFAULT_PARAMETERS

    values = {}
    for item in items:
        name, mark, number = item.partition("=")
        if name not in DEFAULT_PARAMETERS:
            raise ConfigurationError(f"no parameter {name!r}; there are {', '.join(DEFAULT_PARAMETERS)}")
        if not mark or not number.replace("_", "").isdecimal():
            raise ConfigurationError(f"--parameter {item!r}: write {name}={DEFAULT_PARAMETERS[name]}")
        values[name] = int(number)
    return values
