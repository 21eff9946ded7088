"""What `/metrics` has to say when a storm is over: the chain's and the database's own numbers, counted once more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import func, select
from tests.chaos.asked import Asked
from tests.chaos.scrape import Scrape, Series, series

from sworn.chain.transactions import TransactionStatus
from sworn.watcher.defence.records import DefenceStatus
from sworn.watcher.figures import COUNTERS, GAUGES, Origin
from sworn.watcher.intake import REQUESTS
from sworn.watcher.jobs import JobStatus
from sworn.watcher.store.database import Database, open_database
from sworn.watcher.store.tables import BLOCKS, JOBS, METADATA, TRANSACTIONS

#: The newest block may be this old.
_MAX_LAG_S: Final = 120.0
#: What is not held against anything, and why.
UNJUDGED: Final = {
    "sworn_build_info": "a version",
    "sworn_loop_silence_seconds": "the moment's",
    "sworn_component_standing": "ready is judged; what merely wants a look may be",
    "sworn_database_bytes": "the database's own affair, and another one at every look",
    "sworn_trace_bytes": "profile signed keeps no traces",
    "sworn_trace_free_bytes": "the disk's",
    "sworn_head_lag_seconds": "bounded",
    "sworn_signer_expires_seconds": "the world's keys do not expire",
    "sworn_endpoint_healthy": "what rests after a storm comes back in its own time",
    "sworn_endpoint_lag_blocks": "as above",
    "sworn_model_info": "its labels are what it says",
}
#: Counters, each with the histogram that counts the same.
_TWINS: Final = {
    "sworn_runs_total": "sworn_inference_seconds_count",
    "sworn_rpc_requests_total": "sworn_rpc_seconds_count",
    "sworn_turns_total": "sworn_turn_seconds_count",
    "sworn_reorgs_total": "sworn_reorg_depth_blocks_count",
    "sworn_request_to_proposed_seconds_count": "sworn_request_to_proposed_blocks_count",
}
#: Those that no life is without.
_LIVELY: Final = ("sworn_turns_total", "sworn_rpc_requests_total")
#: Not the same at two moments, and so not at two replicas.
_MOMENTARY: Final = {"sworn_head_lag_seconds", "sworn_database_bytes", "sworn_signer_expires_seconds"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """Numbers of a watcher at rest, to hold scrapes against."""

    asked: Asked
    database_url: str
    #: What the account that sends transactions had at first.
    opening_wei: int

    def discrepancies(self, scrapes: Sequence[Scrape], truth: dict[Series, float]) -> list[str]:
        """What scrapes of all replicas say that is not so; empty when they add up."""
        found: list[str] = []
        for number, shown in enumerate(scrapes):
            wrong = [*self._untrue(shown, truth), *self._unpaid(shown), *_unbounded(shown), *_unequal(shown)]
            found += [f"replica {number}: {each}" for each in (*wrong, *_exceeding(shown, truth))]
        leaders = [shown.total("sworn_leader") for shown in scrapes]
        if sorted(leaders) != [0.0] * (len(scrapes) - 1) + [1.0]:
            found.append(f"leaders: {leaders}")
        for name, gauge in GAUGES.items():
            if gauge.origin is not Origin.PROCESS and name not in _MOMENTARY:
                said = [shown.family(name) for shown in scrapes]
                if any(each != said[0] for each in said):
                    found.append(f"replicas disagree about {name}: {said}")
        return found

    def truth(self) -> dict[Series, float]:
        """Every sample that follows from the chain and the database."""
        database = open_database(self.database_url)
        try:
            exact = {**self._stored(database), **self._on_chain()}
        finally:
            database.close()
        return {each: float(value) for each, value in exact.items()}

    def _stored(self, database: Database) -> dict[Series, int]:
        with database.transaction() as connection:
            jobs = Counter(connection.execute(select(JOBS.c.status)).scalars())
            moves = Counter(connection.execute(select(TRANSACTIONS.c.status)).scalars())
            nonces = connection.execute(select(TRANSACTIONS.c.nonce)).scalars()
            next_nonce = 1 + max(nonce for nonce in nonces if nonce is not None)
            cursor = connection.execute(select(func.max(BLOCKS.c.number)).where(BLOCKS.c.stream == REQUESTS)).scalar()
            tables = METADATA.sorted_tables
            rows = {each.name: len(connection.execute(select(*each.primary_key.columns)).all()) for each in tables}
        # What has ended well is said by the chain, and has to be what the database says.
        ended = {JobStatus.FINALIZED: "ResultFinalized", JobStatus.FAILED: "RequestFailed"}
        counts: dict[str, Any] = jobs | {each.value: len(self.asked.events(name)) for each, name in ended.items()}
        account = self.asked.world.transaction_signer.address
        return {
            **{series("sworn_jobs", status=each.value): counts.get(each.value, 0) for each in JobStatus},
            **{series("sworn_transactions", status=each.value): moves[each.value] for each in TransactionStatus},
            **{series("sworn_disputes", state=each.value): 0 for each in DefenceStatus},
            **{series("sworn_overdue_jobs", kind=each): 0 for each in ("untouched", "unsent", "unfinished")},
            **{series("sworn_database_rows", table=name): count for name, count in rows.items()},
            series("sworn_pending_transactions"): 0,
            series("sworn_pending_oldest_seconds"): 0,
            series("sworn_duties"): 0,
            series("sworn_cursor_block"): cursor or 0,
            series("sworn_nonce", account=account, source="database"): next_nonce,
        }

    def _on_chain(self) -> dict[Series, int]:
        world = self.asked.world
        gateway, account = world.chain.gateway, world.transaction_signer.address
        head, operator = gateway.block("latest"), world.contracts.account_of(world.operator.address)
        return {
            series("sworn_up"): 1,
            series("sworn_ready"): 1,
            series("sworn_models_served"): 1,
            series("sworn_model_mismatches"): 0,
            series("sworn_model_offered", model="0x" + world.model_id[:4].hex()): 1,
            series("sworn_head_block"): head.number,
            series("sworn_base_fee_wei"): head.base_fee,
            series("sworn_nonce", account=account, source="chain"): gateway.nonce(account),
            series("sworn_balance_wei", account=account): gateway.balance(account),
            series("sworn_stake_wei"): operator.stake_wei,
            series("sworn_free_stake_wei"): world.contracts.free_stake_of(world.operator.address),
            # INVARIANT: no bond is lost, and none is held back.
            series("sworn_bonds_at_risk_wei"): 0,
        }

    def _untrue(self, shown: Scrape, truth: dict[Series, float]) -> Iterator[str]:
        for sample, value in truth.items():
            if shown.samples.get(sample) != value:
                yield f"{sample[0]}{dict(sample[1])} is {shown.samples.get(sample)}, not {value}"
        judged = {name for name, _ in truth}
        for sample, value in shown.samples.items():
            if sample[0] in judged and sample not in truth:
                yield f"{sample[0]}{dict(sample[1])} is {value}, and should not be there"
        if shown.family("sworn_deadline_seconds"):
            yield "something is owed"

    def _unpaid(self, shown: Scrape) -> Iterator[str]:
        """Every wei that left the account was paid for gas, whichever process of however many sent what it was for."""
        account = self.asked.world.transaction_signer.address
        paid = self.opening_wei - self.asked.world.chain.gateway.balance(account)
        said = shown.total("sworn_gas_paid_wei")
        # A scrape has 53 bits of each amount.
        if not abs(said - paid) <= paid * 2**-50:
            yield f"sworn_gas_paid_wei is {said:.0f} in all, but {paid} wei are gone"


def _unbounded(shown: Scrape) -> Iterator[str]:
    lag = shown.samples.get(series("sworn_head_lag_seconds"))
    if lag is None or not 0 <= lag <= _MAX_LAG_S:
        yield f"sworn_head_lag_seconds is {lag}"


def _unequal(shown: Scrape) -> Iterator[str]:
    """Counters of one life agree with each other."""
    for counter, twin in _TWINS.items():
        if shown.total(counter) != shown.total(twin):
            yield f"{counter} is {shown.total(counter)}, and {twin} {shown.total(twin)}"
    for counter in _LIVELY:
        if not shown.total(counter):
            yield f"{counter} counts nothing"


def _exceeding(shown: Scrape, truth: dict[Series, float]) -> Iterator[str]:
    """What one life has counted is a part of what the database has, unless a reorganisation made it count twice."""
    if shown.total("sworn_reorgs_total") or shown.total("sworn_transaction_events_total", event="revived"):
        return
    confirmed = shown.total("sworn_transaction_events_total", event="confirmed")
    if confirmed > truth[series("sworn_transactions", status="confirmed")]:
        yield f"{confirmed} transactions were confirmed in one life, more than there are"
    if shown.total("sworn_fees_wei_total") > shown.total("sworn_gas_paid_wei") * (1 + 2**-50):
        yield "sworn_fees_wei_total of one life is more than was ever paid"


def judged(shown: Scrape) -> list[Series]:
    """The samples of which a wrong value has to be noticed."""
    twins = {*_TWINS, *_TWINS.values()}
    names = ({*GAUGES} | {f"{name}_total" for name in COUNTERS} & twins | twins) - set(UNJUDGED)
    return [sample for sample in shown.samples if sample[0] in names]
