"""Whether everything that may be challenged could be defended: asked once, at the start."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from structlog.typing import FilteringBoundLogger

from sworn.codec.tensors import reference_of
from sworn.errors import CodecError, TraceError
from sworn.model.trace_file import TraceFile
from sworn.types import ZERO_HASH, Address, Profile
from sworn.watcher.jobs import Job, JobStatus, Oath
from sworn.watcher.policy import ServedModel
from sworn.watcher.store.jobs import JobStore
from sworn.watcher.traces import KeptTrace, TraceStore

#: Jobs whose result stands, or is about to stand, where it can be challenged.
DISPUTABLE: Final = frozenset(
    {JobStatus.ANSWERED, JobStatus.PROPOSING, JobStatus.PROPOSED, JobStatus.DISPUTED, JobStatus.FINALIZING}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """Looks at every result that may be challenged."""

    jobs: JobStore
    operator: Address
    models: Mapping[bytes, ServedModel]
    traces: TraceStore
    #: Inputs that were fetched before, by their root.
    fetched: Callable[[bytes], bytes | None]
    log: FilteringBoundLogger

    def check(self) -> None:
        """Says which results could not be defended, and why. Raises `StoreError`."""
        for job in self.jobs.jobs():
            oath = self.jobs.oath(job.request_id, self.operator) if job.status in DISPUTABLE else None
            lack = None if oath is None else self._lack(job, oath)
            if lack is not None:
                self.log.critical("result_undefended", request_id=job.request_id, reason=lack)

    def _lack(self, job: Job, oath: Oath) -> str | None:
        """What the defence of a result would lack."""
        if oath.trace_root != ZERO_HASH:
            return self._trace_lack(KeptTrace(request_id=job.request_id, trace_root=oath.trace_root))
        model = self.models.get(job.request.model_id)
        if model is None:
            return "its model is not served here any more: put it back into the settings"
        if model.profile is Profile.SIGNED or not self._is_by_reference(job):
            return None
        if self.fetched(job.request.input_root) is None:
            return "its input was fetched and has not been kept: the run may be impossible to make again"
        return None

    def _trace_lack(self, kept: KeptTrace) -> str | None:
        try:
            path = self.traces.find(kept)
            if path is None:
                return "its trace is gone: put the file back"
            return None if TraceFile.load(path).trace_root == kept.trace_root else "its trace is another one"
        except TraceError as error:
            return f"its trace cannot be used: {error}"

    def _is_by_reference(self, job: Job) -> bool:
        try:
            return reference_of(job.input) is not None
        except CodecError:
            return False
