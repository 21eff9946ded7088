"""A watcher that does everything but sign and send: it says what it would do.

What signs and what sends are replaced, so that no step can do either, whatever it means to do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from structlog.typing import FilteringBoundLogger

from sworn.chain.transactions import Intent, TransactionRecord
from sworn.codec.hashing import Domain, result_digest, result_of
from sworn.codec.statements import Statement
from sworn.errors import SenderBusy, SignerError, SwornError
from sworn.types import Address, Answer
from sworn.watcher.inference import Computed, Outcome
from sworn.watcher.jobs import Job, JobStatus


class MuteSigner:
    """A `Signer` with an address and no key."""

    def __init__(self, address: Address) -> None:
        self._address = address

    @property
    def address(self) -> Address:
        return self._address

    def sign_transaction(self, transaction: Mapping[str, Any]) -> NoReturn:
        raise SignerError("nothing is signed in a dry run")

    def sign_statement(self, statement: Statement) -> NoReturn:
        raise SignerError("nothing is signed in a dry run")


class MuteSender:
    """A `TransactionSender` that sends nothing and says what it was asked to send."""

    def __init__(self, address: Address, log: FilteringBoundLogger) -> None:
        self._address = address
        self._log = log

    @property
    def address(self) -> Address:
        return self._address

    def submit(self, intent: Intent) -> NoReturn:
        self._tell(intent)
        raise SenderBusy("nothing is sent in a dry run")

    def submit_many(self, intents: Sequence[Intent]) -> list[TransactionRecord | SwornError]:
        for intent in intents:
            self._tell(intent)
        return [SenderBusy("nothing is sent in a dry run") for _ in intents]

    def poll(self, *, wanted: Callable[[str], bool] | None = None) -> list[TransactionRecord]:
        return []

    def record(self, key: str) -> TransactionRecord | None:
        return None

    def records(self, keys: Sequence[str]) -> dict[str, TransactionRecord]:
        return {}

    def cancel(self, key: str) -> TransactionRecord | None:
        return None

    def _tell(self, intent: Intent) -> None:
        self._log.info("would_send", key=intent.key, to=intent.to, bytes=len(intent.data))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """Takes the place of oaths: tells what each run came to."""

    domain: Domain
    operator: Address
    log: FilteringBoundLogger

    def concluded(self, ended: Sequence[tuple[Job, Outcome]]) -> list[tuple[Job, JobStatus, str]]:
        """How the jobs of ended runs are settled."""
        return [(job, JobStatus.IGNORED, self._told(job, outcome)) for job, outcome in ended]

    def _told(self, job: Job, outcome: Outcome) -> str:
        facts = rehearsed(job, outcome, domain=self.domain, operator=self.operator)
        self.log.info("would_propose" if isinstance(outcome, Computed) else "would_fail", **facts)
        return "a dry run"


def rehearsed(job: Job, outcome: Outcome, *, domain: Domain, operator: Address) -> dict[str, Any]:
    """What would be sworn about a run."""
    if not isinstance(outcome, Computed):
        return {"request_id": job.request_id, "code": outcome.code.name, "reason": outcome.reason}
    answer = Answer(operator=operator, trace_root=outcome.trace_root, output=outcome.output)
    result = result_of(job.request, answer, chain_id=domain.chain_id, oracle=domain.oracle)
    return {
        "request_id": job.request_id,
        "result_id": result_digest(result, domain),
        "output_root": result.output_root,
        "trace_root": result.trace_root,
        "output_bytes": len(outcome.output),
        "fee_wei": job.request.fee_wei,
    }
