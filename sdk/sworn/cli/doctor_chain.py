"""The part of `sworn doctor` that looks at a chain, and at an operator's settings."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sworn.cli import doctor_endpoints, doctor_node
from sworn.cli.doctor_findings import Checks, Finding, Verdict, bad, failure, finding_of, good, poor
from sworn.cli.output import ether, moment, short
from sworn.cli.session import Session
from sworn.errors import ConfigurationError, SwornError
from sworn.types import Address, Offer, Profile

if TYPE_CHECKING:
    from sworn.cli.compose_keys import Keys
    from sworn.engine.protocol import Engine
    from sworn.watcher.challenger.settings import ChallengerSettings
    from sworn.watcher.contracts import Contracts
    from sworn.watcher.policy import ServedModel
    from sworn.watcher.settings import ModelSettings, WatcherSettings
    from sworn.watcher.store.database import Database

#: A head older than this means that the node does not follow its chain.
_MAX_HEAD_AGE_S: Final = 120
#: A head so far in the future means that this machine's clock is behind; chains let blocks run ahead by some seconds.
_MAX_AHEAD_S: Final = 15
_DAY_S: Final = 86_400
#: What makes offers those of the settings, with every limit; `sworn operator serve` has limits of its own.
ANNOUNCE: Final = "Run `sworn operator announce --config watcher.toml --keystore keys/operator.json`."


def settings(session: Session) -> list[Finding]:
    """Whether the files in --config can be used."""
    files, challenger = ", ".join(map(str, session.options.config)), session.challenger_settings
    if challenger is not None:
        share = challenger.challenge.sample
        return [good("settings", f"a challenger's in {files}; it checks {share:.0%} of all results")]
    return [good("settings", f"{len(session.required_settings.models)} model(s) in {files}")]


def has_settings(session: Session) -> bool:
    """Whether there are any that can be used."""
    try:
        return session.settings is not None
    except ConfigurationError:
        return False


def checks(session: Session) -> Checks:
    """Everything that can be checked with what was named."""
    yield "chain", lambda: _chain(session)
    yield "contracts", lambda: _contracts(session)
    yield "keys", lambda: _keys(session)
    yield "funds", lambda: _funds(session)
    if session.settings is None:
        return
    yield "endpoints", lambda: doctor_endpoints.findings(session)
    if session.challenger_settings is None:
        yield "operator", lambda: _operator(session)
        yield "models", lambda: _models(session)
    yield "database", lambda: _database(session.node_settings)
    yield "node", lambda: doctor_node.findings(session)


def _chain(session: Session) -> list[Finding]:
    chain_id = session.gateway.chain_id()
    head = session.gateway.block("latest")
    age_s = int(time.time()) - head.timestamp
    found = [good("chain", f"chain {chain_id}, block {head.number}")]
    if age_s < -_MAX_AHEAD_S:
        advice = "Set this machine's clock (`timedatectl`): deadlines are judged by it while no node answers."
        return [*found, poor("clock", f"the newest block is {-age_s} s in the future", advice)]
    age_s = max(age_s, 0)
    if age_s > _MAX_HEAD_AGE_S:
        advice = "Check that the node is in sync. On a local chain without new blocks this is normal."
        return [*found, poor("chain head", f"the newest block is {age_s} s old", advice)]
    return [*found, good("chain head", f"{age_s} s old")]


def _contracts(session: Session) -> list[Finding]:
    from sworn.chain.deployment import verify_deployment

    deployment = session.deployment
    verify_deployment(session.gateway, deployment, thorough=True)
    return [good("contracts", f"oracle {deployment.oracle}; links and parameters as in the deployment file")]


def _keys(session: Session) -> list[Finding]:
    if session.options.config:
        keys = session.node_keys
        found = [good("transaction key", f"{signer.address} unlocks") for signer in keys.transactions]
        if session.challenger_settings is None:
            return [*found, _signs(session, keys)]
        return found or [poor("transaction key", "none is named: it can only observe", "Name keys.transaction_key.")]
    signer = session.optional_signer
    if signer is None:
        return [poor("key", "none is named", "Give --keystore FILE to check one.")]
    return [good("key", f"{signer.address} unlocks")]


def _funds(session: Session) -> list[Finding]:
    signer = session.optional_signer
    if signer is None:
        return []
    balance = session.gateway.balance(signer.address)
    if balance == 0:
        return [bad("funds", f"{signer.address} has nothing", "Send it ether for gas.")]
    return [good("funds", f"{signer.address} has {ether(balance)}")]


def _operator(session: Session) -> list[Finding]:
    from sworn.cli.compose_watcher import operator_of

    who = operator_of(session.required_settings, session.node_keys)
    contracts = _watched(session)
    account = contracts.account_of(who)
    if not account.registered:
        return [bad("operator", f"{who} is not registered", "Run `sworn operator register` with that account.")]
    free_wei = contracts.free_stake_of(who)
    found = [good("operator", f"{who} is registered, stake {ether(account.stake_wei)}, free {ether(free_wei)}")]
    if free_wei < contracts.bond_for(0):
        found.append(poor("stake", "the free stake covers no bond", "Run `sworn operator stake AMOUNT`."))
    return [*found, *_result_signers(session, contracts, who)]


def _result_signers(session: Session, contracts: Contracts, operator: Address) -> list[Finding]:
    """Until when each key may sign; one that may is enough."""
    now = session.gateway.block("latest").timestamp
    notice_s = session.required_settings.keys.expiry_warning_days * _DAY_S
    ends = {key.address: contracts.signer_not_after(operator, key.address) for key in session.node_keys.results}
    found, usable = [], any(end > now for end in ends.values())
    for signer, end in ends.items():
        advice = f"Run `sworn operator signer authorize {signer}` with the operator's account."
        if end <= now:
            verdict = poor if usable else bad
            found.append(verdict("result signer", f"{signer} may not sign for {operator}", advice))
        elif end < now + notice_s:
            found.append(poor("result signer", f"{signer} may sign until {moment(end)}", "Authorise another in time."))
        else:
            found.append(good("result signer", f"{signer} may sign; end: {moment(end)}"))
    return found


def _signs(session: Session, keys: Keys) -> Finding:
    from sworn.watcher.looks import keys_look

    (component,) = keys_look(keys.results, _watched(session).domain)().components
    return finding_of(component, check="result key")


def _models(session: Session) -> list[Finding]:
    from sworn.cli.compose_watcher import engine_of

    # One at a time, so that one bad file does not hide the others.
    with engine_of(session.required_settings) as engine:
        return [finding for entry in session.required_settings.models for finding in _model(session, entry, engine)]


def _model(session: Session, entry: ModelSettings, engine: Engine) -> list[Finding]:
    from sworn.cli.compose_watcher import operator_of, served_models

    values = session.required_settings
    check = f"model {Path(entry.artifact).name if entry.artifact else short(entry.model_id or '')}"
    try:
        only = values.model_copy(update={"models": (entry,)})
        (model,) = served_models(only, session.gateway, session.deployment, engine)
    except SwornError as error:
        return [failure(check, error)]
    standing = _standing(_watched(session), operator_of(values, session.node_keys), model, check=check)
    return [standing] if standing.verdict is Verdict.FAIL else [standing, _mirrors(session, model)]


def _mirrors(session: Session, model: ServedModel) -> Finding:
    """Whether anybody can check what is served: without its file, nobody can."""
    check = f"mirrors of {short(model.model_id)}"
    try:
        uris = session.reader.model(model.model_id).uris
    except SwornError as error:
        return poor(check, f"cannot be read: {error}", "Ask another endpoint.")
    if not uris:
        advice = "Run `sworn model publish FILE --uri URI`: who has not got the file cannot check your results."
        return poor(check, "none is published", advice)
    return good(check, f"{len(uris)} published")


def _standing(contracts: Contracts, operator: Address, model: ServedModel, *, check: str) -> Finding:
    identity = f"{short(model.model_id)} in profile {model.profile.name.lower()}"
    if contracts.profile_of(model.model_id) is Profile.NONE:
        return bad(check, f"{identity} is not registered on this chain", "Run `sworn model register FILE`.")
    offer = contracts.offer_of(operator, model.model_id)
    if not offer.active:
        return poor(check, f"{identity} has no active offer: only requests that name you are answered", ANNOUNCE)
    differing = list(_differing(offer, model))
    if differing:
        detail = f"the offer on chain is not what the settings say: {'; '.join(differing)}"
        return poor(check, detail, f"What only one of them allows is not answered. {ANNOUNCE}")
    return good(check, f"{identity} as computed from the file; offered for {ether(offer.price_wei)}")


def _differing(offer: Offer, model: ServedModel) -> Iterator[str]:
    """Terms under which requests are asked for and then turned away, or never asked for."""
    # A higher price than has to be is nobody's mistake.
    if offer.price_wei < model.price_wei:
        yield f"price {ether(offer.price_wei)}, here {ether(model.price_wei)}"
    if offer.max_value_at_risk_wei != model.max_value_at_risk_wei:
        yield f"value at risk {ether(offer.max_value_at_risk_wei)}, here {ether(model.max_value_at_risk_wei)}"
    if offer.max_window_s != model.max_window_s:
        yield f"window {offer.max_window_s} s, here {model.max_window_s} s"
    if offer.max_callback_gas != model.max_callback_gas:
        yield f"callback gas {offer.max_callback_gas:,}, here {model.max_callback_gas:,}"


def _database(values: WatcherSettings | ChallengerSettings) -> list[Finding]:
    from sworn.watcher.store.database import open_database
    from sworn.watcher.store.migration import current, latest

    database = open_database(values.database_url.get_secret_value())
    try:
        file = database.engine.url.database
        if database.engine.dialect.name == "sqlite" and file and not Path(file).exists():
            return [_absent(Path(file))]
        found, needed = current(database), latest()
        copies = [_copies(database)] if database.is_postgresql else []
    finally:
        database.close()
    if found == needed:
        return [good("database", f"schema {found}"), *copies]
    return [good("database", f"schema {found or 'none'}; the daemon brings it to {needed}"), *copies]


def _copies(database: Database) -> Finding:
    """Whether a standby that is promoted has everything that was committed."""
    from sworn.watcher.store.database import standbys_of

    standbys, waits = standbys_of(database)
    if standbys and not waits:
        detail = f"{standbys} standby(s) replicate it, and no commit waits for one"
        advice = "Set synchronous_standby_names before one may be promoted: it would have forgotten oaths."
        return poor("copies of the database", detail, advice)
    return good("copies of the database", f"{standbys}, commits wait for them" if standbys else "none is connected")


def _absent(file: Path) -> Finding:
    if not os.access(file.parent, os.W_OK):
        return bad("database", f"{file.parent} is not a folder that can be written to", "Change database_url.")
    return good("database", f"{file} will be made by the daemon")


def _watched(session: Session) -> Contracts:
    from sworn.watcher.contracts import Contracts

    return Contracts(gateway=session.gateway, deployment=session.deployment)
