"""Every metric of a daemon: its name, its labels, and what it says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final


class Origin(Enum):
    """Where a figure comes from, and so what survives the process, and what may be added up over replicas."""

    #: The process that says it, since its start.
    PROCESS = "process"
    #: The database: every replica on it says the same, and so does the next life of one that was killed.
    DATABASE = "database"
    #: The chain: whoever works for the same operator says the same.
    CHAIN = "chain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauge:
    """What a figure means, and by what it is told apart."""

    meaning: str
    labels: tuple[str, ...] = ()
    origin: Origin = Origin.PROCESS


def _gauge(meaning: str, *labels: str) -> Gauge:
    return Gauge(meaning=meaning, labels=labels)


def _stored(meaning: str, *labels: str) -> Gauge:
    return Gauge(meaning=meaning, labels=labels, origin=Origin.DATABASE)


def _on_chain(meaning: str, *labels: str) -> Gauge:
    return Gauge(meaning=meaning, labels=labels, origin=Origin.CHAIN)


#: INVARIANT: no label takes values that strangers choose: each is a fixed set, a configured one, or a table.
GAUGES: Final[Mapping[str, Gauge]] = MappingProxyType(
    {
        "sworn_up": _gauge("1 while the loop turns."),
        "sworn_ready": _gauge("1 while every part does its work: the same as /readyz."),
        "sworn_component_standing": _gauge("How a part is: 0 works, 1 wants a look, 2 does not work.", "component"),
        "sworn_loop_silence_seconds": _gauge("Time since the loop gave a sign of life."),
        "sworn_leader": _gauge("1 on the replica that sends transactions."),
        "sworn_jobs": _stored("Requests in the database by what has become of them.", "status"),
        "sworn_overdue_jobs": _stored(
            "Requests that are late: untouched (nobody has begun), unsent (sworn, not on chain), unfinished (window "
            "over, not final).",
            "kind",
        ),
        "sworn_deadline_seconds": _stored(
            "Time until the next thing that is owed: answer (a sworn result to its request), defence (an answer in a "
            "dispute). Absent when nothing is.",
            "duty",
        ),
        "sworn_duties": _stored("Answers that are owed in disputes over results of ours."),
        "sworn_disputes": _stored("Disputes over results of ours by what has become of them.", "state"),
        "sworn_transactions": _stored("Transactions in the database by how far they have come.", "status"),
        "sworn_pending_transactions": _stored("Transactions that are signed and not mined."),
        "sworn_pending_oldest_seconds": _stored(
            "Time since the oldest of them was signed first; 0 when there is none."
        ),
        "sworn_gas_paid_wei": _stored(
            "Gas paid for mined transactions since there is this database, whichever process sent them. It falls when "
            "a reorganisation takes one back.",
            "account",
            "kind",
        ),
        "sworn_nonce": _on_chain(
            "Next nonce of the account that sends transactions: by the chain, and by the database. The chain's is "
            "higher only where somebody else sends with its key.",
            "account",
            "source",
        ),
        "sworn_head_block": _on_chain("Newest block of the chain."),
        "sworn_head_lag_seconds": _on_chain("Age of the newest block."),
        "sworn_cursor_block": _stored("Last block whose logs have been read."),
        "sworn_base_fee_wei": _on_chain("Base fee of the newest block."),
        "sworn_balance_wei": _on_chain("Ether of the account that sends transactions.", "account"),
        "sworn_stake_wei": _on_chain("Stake of the operator."),
        "sworn_free_stake_wei": _on_chain("Stake that can back new results."),
        "sworn_bonds_at_risk_wei": _on_chain("Stake that is locked behind results of ours."),
        "sworn_signer_expires_seconds": _on_chain("Time until a result key may not sign any more.", "signer"),
        "sworn_engine_slots": _gauge("Runs that the engine can make at the same time."),
        "sworn_engine_running": _gauge("Runs that it makes."),
        "sworn_engine_queued": _gauge("Runs that wait for it."),
        "sworn_engine_memory_bytes": _gauge("Memory of its workers."),
        "sworn_models_served": _gauge("Models that are loaded."),
        "sworn_endpoint_healthy": _gauge("1 while a node is used.", "endpoint"),
        "sworn_endpoint_lag_blocks": _gauge("Blocks that a node is behind the best one.", "endpoint"),
        "sworn_build_info": _gauge("1; which sworn this is.", "version"),
        "sworn_model_info": _gauge("1 for each model that is loaded.", "model", "model_id", "profile"),
        "sworn_model_offered": _on_chain("1 where the operator's offer for a model is active on chain.", "model"),
        "sworn_model_mismatches": _gauge("Model files that are not any more what was loaded from them."),
        "sworn_trace_bytes": _gauge("Room that kept traces take."),
        "sworn_trace_free_bytes": _gauge("Room that is left on their disk."),
        "sworn_database_rows": _stored("Rows of each table.", "table"),
        "sworn_database_bytes": _stored("Size of the database."),
        "sworn_claims": _stored("Other operators' results by what has become of them here.", "status"),
        "sworn_challenges": _stored("Disputes that this challenger has entered: open, won, lost.", "state"),
        "sworn_exposure_wei": _stored("Bonds of this challenger, and all that its disputes may still cost."),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """What a counter counts; a scrape shows it as ``…_total``."""

    meaning: str
    labels: tuple[str, ...] = ()
    #: Values of the last label that are shown from the beginning: Prometheus sees no increase in a series that is new,
    #: so that an alert would miss the first of them.
    awaited: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """What a histogram spreads out, and where its steps are."""

    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...]


#: Counters begin at zero with every start of the process.
COUNTERS: Final[Mapping[str, Count]] = MappingProxyType(
    {
        "sworn_runs": Count(meaning="Runs of models by outcome.", labels=("model", "outcome")),
        "sworn_transaction_events": Count(
            meaning="Steps of transactions.", labels=("kind", "event"), awaited=("capped", "reverted")
        ),
        "sworn_fees_wei": Count(meaning="Gas paid for mined transactions.", labels=("kind",)),
        "sworn_reorgs": Count(meaning="Times that blocks which had been read left the chain."),
        "sworn_rpc_requests": Count(
            meaning="Requests to nodes by outcome.", labels=("endpoint", "outcome"), awaited=("wrong",)
        ),
        "sworn_turns": Count(meaning="Turns of the loop by outcome.", labels=("outcome",)),
        "sworn_claims_checked": Count(
            meaning="Others' results that were checked, by verdict.",
            labels=("verdict",),
            awaited=("failed", "undecided"),
        ),
    }
)

_SHORT: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
HISTOGRAMS: Final[Mapping[str, Spread]] = MappingProxyType(
    {
        "sworn_inference_seconds": Spread(meaning="Duration of runs.", labels=("model",), buckets=_SHORT),
        "sworn_request_to_proposed_seconds": Spread(
            meaning="Time from when a request was stored to when its result was seen on chain.",
            buckets=(1.0, 2.0, 4.0, 8.0, 12.0, 24.0, 36.0, 60.0, 120.0, 300.0, 900.0, 3600.0),
        ),
        "sworn_request_to_proposed_blocks": Spread(
            meaning="Blocks from that of a request to the one in which its result was seen.",
            buckets=(1.0, 2.0, 3.0, 4.0, 5.0, 8.0, 12.0, 25.0, 50.0, 100.0, 300.0),
        ),
        "sworn_reorg_depth_blocks": Spread(
            meaning="Blocks that left the chain at once.", buckets=(1.0, 2.0, 3.0, 6.0, 12.0, 32.0, 64.0)
        ),
        "sworn_rpc_seconds": Spread(meaning="Duration of requests to nodes.", labels=("endpoint",), buckets=_SHORT),
        "sworn_turn_seconds": Spread(meaning="Duration of turns of the loop.", buckets=_SHORT),
    }
)
