"""Rows for tests of the watcher's database."""

from __future__ import annotations

from sworn.chain.follower import BlockId
from sworn.chain.transactions import Intent, SignedAttempt, TransactionRecord, TransactionStatus
from sworn.types import Address, Assurance, ModelId, Request, RequestId
from sworn.watcher.jobs import Job, JobStatus, Oath

OPERATOR = SENDER = Address("0x" + "11" * 20)
ORACLE = Address("0x" + "33" * 20)
STREAM = "requests"


def job(
    number: int, *, at: int = 1, status: JobStatus = JobStatus.SEEN, deadline: int = 2**40 - 1, window_s: int = 60
) -> Job:
    """A job whose fields are at the limits of their types; all are about one model and one input."""
    return Job(
        request_id=RequestId(number.to_bytes(32, "big")),
        request=Request(
            model_id=ModelId(b"\x01" * 32),
            input_root=b"\x02" * 32,
            requester=SENDER,
            operator=SENDER,
            refund_to=SENDER,
            fee_wei=2**96 - 1,
            value_at_risk_wei=2**96 - 2,
            callback_gas=2**32 - 1,
            window_s=window_s,
            deadline=deadline,
            assurance=Assurance.PROVISIONAL,
            salt=b"\x04" * 32,
        ),
        input=b"\x01\x02",
        block_number=at,
        block_hash=b"\x05" * 32,
        transaction_hash=b"\x06" * 32,
        status=status,
    )


def block(number: int) -> BlockId:
    """A block that has been followed up to."""
    return BlockId(number=number, hash=number.to_bytes(32, "big"))


def oath(number: int, *, digest: bytes = b"\x07" * 32) -> Oath:
    """A result for the job with a number."""
    return Oath(
        request_id=RequestId(number.to_bytes(32, "big")),
        operator=SENDER,
        digest=digest,
        output_root=b"\x08" * 32,
        trace_root=bytes(32),
        output=b"\x01",
    )


def record(
    number: int, *, nonce: int | None, status: TransactionStatus = TransactionStatus.SIGNED
) -> TransactionRecord:
    """A transaction whose amounts are at the limits of their types."""
    attempt = SignedAttempt(
        hash=number.to_bytes(32, "big"), raw=b"raw", max_fee_wei=2**255, tip_wei=2**128, signed_at=1.5
    )
    return TransactionRecord(
        intent=Intent(key=f"propose:{number}", to=ORACLE, data=b"data", value_wei=2**256 - 1, gas_cap=1 << 24),
        sender=SENDER,
        status=status,
        nonce=nonce,
        gas=21_000,
        attempts=(attempt,) if nonce is not None else (),
        succeeded=status is TransactionStatus.CONFIRMED or None,
    )
