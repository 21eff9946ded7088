"""Makes one run of a model checkable down to one element: traces, audits, fault proofs."""

from __future__ import annotations

from sworn.verification.audit import MAX_FAULTS, audit, difference
from sworn.verification.compilation import compile_artifact
from sworn.verification.compiled import CompiledModel
from sworn.verification.faults import Fault
from sworn.verification.proving import prove
from sworn.verification.subject import Executor, MakeExecutor, Subject
from sworn.verification.trace import Trace

__all__ = [
    "MAX_FAULTS",
    "CompiledModel",
    "Executor",
    "Fault",
    "MakeExecutor",
    "Subject",
    "Trace",
    "audit",
    "compile_artifact",
    "difference",
    "prove",
]
