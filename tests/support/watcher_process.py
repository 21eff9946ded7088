"""A watcher in a process of its own, for tests that kill it: ``python -m tests.support.watcher_process FILE``."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
from tests.support.watcher_world import ETHER, ReciprocalEngine, served_reciprocal

from sworn.chain.deployment_files import load_deployment
from sworn.chain.sender import FeePolicy
from sworn.chain.signer import LocalSigner
from sworn.chain.web3_gateway import connect_gateway
from sworn.codec.statements import Statement
from sworn.engine.identification import compile_program
from sworn.engine.protocol import IdentifiedModel, Run, RunLimits
from sworn.model.trace_file import TraceWriter
from sworn.types import Address, Profile, Tensors
from sworn.watcher.assembly import Surroundings, assemble
from sworn.watcher.logs import make_logger
from sworn.watcher.policy import Guards
from sworn.watcher.store.database import open_database
from sworn.watcher.store.migration import upgrade
from sworn.watcher.submissions import Batching
from sworn.watcher.traces import FileTraceStore


class WitnessedSigner:
    """A signer that writes down every digest before it signs it."""

    def __init__(self, signer: LocalSigner, witness: Path) -> None:
        self._signer = signer
        self._witness = witness

    @property
    def address(self) -> Address:
        return self._signer.address

    def sign_transaction(self, transaction: Mapping[str, Any]) -> bytes:
        return self._signer.sign_transaction(transaction)

    def sign_statement(self, statement: Statement) -> bytes:
        with self._witness.open("a") as file:
            file.write(statement.digest.hex() + "\n")
        return self._signer.sign_statement(statement)


class UnsteadyEngine(ReciprocalEngine):
    """Gives another answer on every run, as a model without arithmetic promise may."""

    def run(self, model: IdentifiedModel, inputs: Tensors, *, limits: RunLimits, trace_file: Path | None = None) -> Run:
        outputs = super().run(model, inputs, limits=limits).outputs
        noise = np.frombuffer(os.urandom(4), dtype=np.uint32).astype(np.float32)
        return Run(outputs={"y": outputs["y"] + noise})


class TracingEngine(UnsteadyEngine):
    """Gives another answer on every run, each with its trace."""

    def run(self, model: IdentifiedModel, inputs: Tensors, *, limits: RunLimits, trace_file: Path | None = None) -> Run:
        outputs = super().run(model, inputs, limits=limits).outputs
        program = compile_program(model.source).lowered.program
        with TraceWriter(trace_file or "", program, model_id=model.model_id) as writer:
            for number, value in enumerate((inputs["x"], outputs["y"])):
                writer.write(number, value)
            return Run(outputs=outputs, trace_root=writer.finish())


def kill_once(point: str | None, marker: Path) -> Callable[[str], None]:
    """A checkpoint that kills this process at ``point``, unless a process before it died there."""

    def checkpoint(reached: str) -> None:
        if reached == point and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    return checkpoint


def main(orders_file: str) -> None:
    """Serves until SIGTERM."""
    orders = json.loads(Path(orders_file).read_text())
    folder = Path(orders_file).parent
    stop = Event()
    signal.signal(signal.SIGTERM, lambda number, frame: stop.set())
    with (folder / "lives").open("a") as lives:
        lives.write(".")
    database = open_database(f"sqlite:///{folder}/watcher.db")
    upgrade(database)
    profile = Profile(orders["profile"])
    surroundings = Surroundings(
        gateway=connect_gateway(orders["url"]),
        deployment=load_deployment(Path(orders["deployment"])),
        operator=Address(orders["operator"]),
        transaction_signer=LocalSigner.from_key(orders["transaction_key"]),
        result_signer=WitnessedSigner(LocalSigner.from_key(orders["result_key"]), folder / "digests"),
        models=[served_reciprocal(profile)],
        guards=Guards(min_profit_wei=-ETHER),
        engine=TracingEngine() if profile is Profile.BOUNDED else UnsteadyEngine(),
        traces=FileTraceStore(folder / "traces", max_total_bytes=1 << 30),
        database=database,
        fetch=lambda uri, max_bytes: b"",
        log=make_logger(sys.stderr),
        fees=FeePolicy(bump_after_s=3600),
        confirmations=orders["confirmations"],
        poll_interval_s=0.05,
        batching=Batching(max_results=orders.get("max_results", 1)),
        checkpoint=kill_once(orders["kill_at"], folder / "killed"),
    )
    assemble(surroundings).run(stop)


if __name__ == "__main__":
    main(sys.argv[1])
