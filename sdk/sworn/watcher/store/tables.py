"""The schema. `migrations/` builds the same one; a test holds the two together.

Nothing here is particular to one database: amounts of up to 256 bits are decimal text, everything else fits 64 bits.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Amount(TypeDecorator[int]):
    """An unsigned integer of up to 256 bits as decimal text."""

    impl = String(78)
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> str | None:
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> int | None:
        return None if value is None else int(value)


class Words(TypeDecorator[str]):
    """Text for people, whoever chose it: what a database refuses in text is replaced."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        # SAFETY: contracts choose revert reasons; one with a NUL must not stop a watcher on PostgreSQL.
        return None if value is None else value.replace("\0", "\ufffd").encode(errors="replace").decode()


#: Which deployment this database belongs to; one row.
ORIGIN = Table(
    "origin",
    METADATA,
    Column("chain_id", BigInteger, primary_key=True, autoincrement=False),
    Column("oracle", String(42), nullable=False),
)

#: Blocks that have been followed up to; the highest of a stream is its cursor.
BLOCKS = Table(
    "blocks",
    METADATA,
    Column("stream", String(64), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary(32), nullable=False),
)

JOBS = Table(
    "jobs",
    METADATA,
    Column("request_id", LargeBinary(32), primary_key=True),
    Column("model_id", LargeBinary(32), nullable=False),
    Column("input_root", LargeBinary(32), nullable=False),
    Column("requester", String(42), nullable=False),
    Column("operator", String(42), nullable=False),
    Column("refund_to", String(42), nullable=False),
    Column("fee_wei", Amount, nullable=False),
    Column("value_at_risk_wei", Amount, nullable=False),
    Column("callback_gas", BigInteger, nullable=False),
    Column("window_s", BigInteger, nullable=False),
    Column("deadline", BigInteger, nullable=False),
    Column("assurance", SmallInteger, nullable=False),
    Column("salt", LargeBinary(32), nullable=False),
    Column("input", LargeBinary, nullable=False),
    Column("block_number", BigInteger, nullable=False, index=True),
    Column("block_hash", LargeBinary(32), nullable=False),
    Column("transaction_hash", LargeBinary(32), nullable=False),
    Column("status", String(16), nullable=False),
    Column("reason", Words, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("retry_at", Float(53), nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("failure", SmallInteger, nullable=True),
    Column("settled_block", BigInteger, nullable=True, index=True),
    Column("created_at", Float(53), nullable=False),
    Column("updated_at", Float(53), nullable=False),
    #: Consecutive unexpected errors; they end in PARKED.
    Column("errors", Integer, nullable=False, server_default="0"),
    #: Consecutive transactions or simulations that reverted.
    Column("reverts", Integer, nullable=False, server_default="0"),
    #: Runs that ended without an output.
    Column("runs", Integer, nullable=False, server_default="0"),
    #: Key of the transaction that carries the job's present move, which may be that of many jobs.
    Column("carrier", String(200), nullable=False, server_default="", index=True),
    #: The replica that runs the model, until when by the database's clock (unix seconds); another may from then on.
    Column("leased_by", String(64), nullable=False, server_default=""),
    Column("lease_until", Float(53), nullable=False, server_default="0"),
    Index("ix_jobs_open", "status", "due_at", "retry_at"),
    Index("ix_jobs_queue", "status", "retry_at", "block_number"),
    Index("ix_jobs_statement", "model_id", "input_root"),
)

#: INVARIANT: one row per request and operator: a second, different result can never be sworn, whatever the jobs say.
SIGNED_DIGESTS = Table(
    "signed_digests",
    METADATA,
    Column("request_id", LargeBinary(32), primary_key=True),
    Column("operator", String(42), primary_key=True),
    Column("digest", LargeBinary(32), nullable=False),
    Column("output_root", LargeBinary(32), nullable=False),
    Column("trace_root", LargeBinary(32), nullable=False),
    Column("output", LargeBinary, nullable=False),
    Column("signature", LargeBinary(65), nullable=True),
    Column("created_at", Float(53), nullable=False),
    Index("ix_signed_digests_digest", "digest"),
)

#: INVARIANT: one row per operator, model and input: where bits are promised, a second output can never be sworn, not by
#: two replicas at once, and not when the jobs are long gone. Nothing is removed here: two outputs convict for ever.
STATEMENTS = Table(
    "statements",
    METADATA,
    Column("operator", String(42), primary_key=True),
    Column("model_id", LargeBinary(32), primary_key=True),
    Column("input_root", LargeBinary(32), primary_key=True),
    Column("output_root", LargeBinary(32), nullable=False),
)

#: Inputs that were fetched: whoever named the place may take them away before a dispute needs them.
PAYLOADS = Table(
    "payloads",
    METADATA,
    Column("input_root", LargeBinary(32), primary_key=True),
    Column("payload", LargeBinary, nullable=False),
    Column("created_at", Float(53), nullable=False),
)

#: Disputes over results of the watcher's own operator.
DEFENCES = Table(
    "defences",
    METADATA,
    Column("result_id", LargeBinary(32), primary_key=True),
    Column("block_number", BigInteger, nullable=False, index=True),
    Column("status", String(16), nullable=False),
    Column("reason", Words, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("retry_at", Float(53), nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("opened_at", BigInteger, nullable=True),
    Column("answer_by", BigInteger, nullable=True),
    #: INVARIANT: once it is here, no other trace of this result is ever signed.
    Column("trace_root", LargeBinary(32), nullable=True),
    Column("settled_block", BigInteger, nullable=True, index=True),
    Column("created_at", Float(53), nullable=False),
    Column("updated_at", Float(53), nullable=False),
    Index("ix_defences_open", "status", "due_at", "retry_at"),
)

#: What challengers demand to see in those disputes.
DEMANDS = Table(
    "demands",
    METADATA,
    Column("demand_id", LargeBinary(32), primary_key=True),
    Column("result_id", LargeBinary(32), nullable=False),
    Column("challenger", String(42), nullable=False),
    Column("part", SmallInteger, nullable=False),
    Column("value", BigInteger, nullable=False),
    Column("level", SmallInteger, nullable=False),
    Column("place", BigInteger, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("block_number", BigInteger, nullable=False, index=True),
    Column("answered_block", BigInteger, nullable=True, index=True),
    Index("ix_demands_open", "result_id", "answered_block", "due_at"),
)

#: Results that others proposed, as a challenger sees them.
CLAIMS = Table(
    "claims",
    METADATA,
    Column("result_id", LargeBinary(32), primary_key=True),
    Column("request_id", LargeBinary(32), nullable=False, index=True),
    Column("operator", String(42), nullable=False),
    Column("trace_root", LargeBinary(32), nullable=False),
    Column("output", LargeBinary, nullable=False),
    Column("signature", LargeBinary(65), nullable=False),
    Column("block_number", BigInteger, nullable=False, index=True),
    Column("block_hash", LargeBinary(32), nullable=False),
    Column("transaction_hash", LargeBinary(32), nullable=False),
    Column("status", String(16), nullable=False),
    Column("reason", Words, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("retry_at", Float(53), nullable=False),
    Column("due_at", BigInteger, nullable=False),
    #: Bond, and all that may be paid for demands, from before it is sent until the dispute is over.
    Column("exposure_wei", Amount, nullable=False),
    Column("settled_block", BigInteger, nullable=True, index=True),
    Column("created_at", Float(53), nullable=False),
    Column("updated_at", Float(53), nullable=False),
    #: When its window closes, within seconds (unix seconds); 0 = unknown.
    Column("closes_at", BigInteger, nullable=False, server_default="0"),
    #: Of its request; None in rows of releases that did not say.
    Column("model_id", LargeBinary(32), nullable=True),
    #: Checks that broke a limit of runs.
    Column("overruns", Integer, nullable=False, server_default="0"),
    Index("ix_claims_open", "status", "due_at", "retry_at"),
    Index("ix_claims_closing", "status", "closes_at"),
)

#: The requests that claims are about, as ABI-encoded tuples.
ASKED = Table(
    "asked",
    METADATA,
    Column("request_id", LargeBinary(32), primary_key=True),
    Column("request", LargeBinary, nullable=False),
    Column("input", LargeBinary, nullable=False),
    Column("block_number", BigInteger, nullable=False, index=True),
)

#: What only this installation knows, by name.
SECRETS = Table(
    "secrets",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("value", LargeBinary(32), nullable=False),
)

TRANSACTIONS = Table(
    "transactions",
    METADATA,
    Column("key", String(200), primary_key=True),
    Column("chain_id", BigInteger, nullable=False),
    Column("sender", String(42), nullable=False),
    Column("target", String(42), nullable=False),
    Column("data", LargeBinary, nullable=False),
    Column("value_wei", Amount, nullable=False),
    Column("gas_cap", BigInteger, nullable=False),
    Column("urgent", SmallInteger, nullable=False, server_default="0"),
    Column("status", String(16), nullable=False),
    Column("nonce", BigInteger, nullable=True),
    Column("gas", BigInteger, nullable=True),
    Column("transaction_hash", LargeBinary(32), nullable=True),
    Column("block_number", BigInteger, nullable=True),
    Column("succeeded", SmallInteger, nullable=True),
    Column("note", String(64), nullable=False),
    Column("margin_percent", SmallInteger, nullable=False, server_default="25"),
    Column("deadline", BigInteger, nullable=True),
    #: Gas used times its price, once it is mined.
    Column("cost_wei", Amount, nullable=True),
    Column("updated_at", Float(53), nullable=False),
    UniqueConstraint("chain_id", "sender", "nonce"),
    Index("ix_transactions_live", "status", "sender", "nonce"),
)

#: Signed forms of a transaction, oldest first; they differ in fees only.
ATTEMPTS = Table(
    "transaction_attempts",
    METADATA,
    Column("hash", LargeBinary(32), primary_key=True),
    Column("key", String(200), ForeignKey("transactions.key", ondelete="CASCADE"), nullable=False, index=True),
    Column("ordinal", Integer, nullable=False),
    Column("raw", LargeBinary, nullable=False),
    Column("max_fee_wei", Amount, nullable=False),
    Column("tip_wei", Amount, nullable=False),
    Column("signed_at", Float(53), nullable=False),
    #: 1 = this form is an empty transfer to ourselves that gives the nonce up.
    Column("cancels", SmallInteger, nullable=False, server_default="0"),
)

#: What all transactions of a sender have cost, by kind. INVARIANT: it changes in the transactions that change costs,
#: and stays when rows go: neither a crash nor the end of a row loses a wei.
GAS_PAID = Table(
    "gas_paid",
    METADATA,
    Column("sender", String(42), primary_key=True),
    Column("kind", String(200), primary_key=True),
    Column("paid_wei", Amount, nullable=False),
)

#: Models, and models with inputs, whose runs took their worker down with them.
QUARANTINE = Table(
    "quarantine",
    METADATA,
    #: A model id (32 bytes), or a model id and an input root (64 bytes).
    Column("subject", LargeBinary(64), primary_key=True),
    Column("crashes", Integer, nullable=False),
    #: 1 = not served.
    Column("barred", SmallInteger, nullable=False),
    #: Unix seconds until which it is barred; None = until a person clears it.
    Column("until", Float(53), nullable=True),
    Column("reason", Words, nullable=False),
    Column("created_at", Float(53), nullable=False),
    Column("updated_at", Float(53), nullable=False),
)

#: Who leads in what; the epoch grows with every takeover, and old leaders are known by it.
LEADERS = Table(
    "leaders",
    METADATA,
    Column("subject", String(120), primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("holder", String(64), nullable=False),
    #: By the database's clock, unix seconds.
    Column("since", Float(53), nullable=False),
)

#: The watchers that share this database, for people and for each other.
REPLICAS = Table(
    "replicas",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("version", String(40), nullable=False),
    #: What the replica's trace folder calls itself; None where it keeps none.
    Column("trace_folder", String(64), nullable=True),
    #: By the database's clock, unix seconds.
    Column("started_at", Float(53), nullable=False),
    Column("seen_at", Float(53), nullable=False),
)

#: The oldest revision of the schema whose code can still use this database; one row.
SCHEMA_FLOOR = Table(
    "schema_floor",
    METADATA,
    Column("revision", String(32), primary_key=True),
)
