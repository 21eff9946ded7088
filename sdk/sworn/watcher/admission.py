"""Which jobs are run, with what is so at the time: money, stake, limits, quarantine. Reads little, and once a turn."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from sworn.chain.gateway import Block
from sworn.types import Address, ModelId, Offer, RequestId
from sworn.watcher.contracts import Contracts
from sworn.watcher.funds import Funds
from sworn.watcher.inference import Unanswerable
from sworn.watcher.jobs import Job
from sworn.watcher.policy import Circumstances, Exposure, Guards, Refusal, ServedModel, refusal
from sworn.watcher.quarantine import Quarantine
from sworn.watcher.store.exposure import LOCKED, ExposureStore

#: Blocks over which the usual price of gas is smoothed: about an hour of a chain with blocks every twelve seconds.
SMOOTHED_BLOCKS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counted:
    """Bonds, in wei, as the database has them."""

    locked_wei: int = 0
    promised_wei: int = 0
    by_requester: Mapping[Address, tuple[int, int]] = field(default_factory=dict)


class _Running:
    """Bonds of what is being computed, or was sworn since the database was last counted; sums are kept, not made."""

    def __init__(self) -> None:
        self._bonds: dict[RequestId, tuple[Address, int]] = {}
        self._theirs: dict[Address, tuple[int, int]] = {}
        self.wei = 0

    def __iter__(self) -> Iterator[RequestId]:
        return iter(self._bonds)

    def of(self, requester: Address) -> tuple[int, int]:
        """Wei and number of one requester's."""
        return self._theirs.get(requester, (0, 0))

    def add(self, request_id: RequestId, requester: Address, bond_wei: int) -> None:
        """A run begins; one that is known is not counted twice."""
        self.drop(request_id)
        self._bonds[request_id] = (requester, bond_wei)
        self._change(requester, bond_wei, 1)

    def drop(self, request_id: RequestId) -> None:
        """A run does not count any more; one that is unknown is fine."""
        requester, bond_wei = self._bonds.pop(request_id, (None, 0))
        if requester is not None:
            self._change(requester, -bond_wei, -1)

    def _change(self, requester: Address, wei: int, count: int) -> None:
        before_wei, before = self.of(requester)
        self.wei += wei
        self._theirs[requester] = (before_wei + wei, before + count)
        if before + count == 0:
            del self._theirs[requester]


class Admission:
    """Implements `sworn.watcher.running.Admission`."""

    def __init__(
        self,
        *,
        contracts: Contracts,
        operator: Address,
        sender: Address,
        models: Mapping[bytes, ServedModel],
        guards: Guards,
        quarantine: Quarantine,
        funds: Funds,
        exposure: ExposureStore,
        refresh_s: float = 5.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._contracts = contracts
        self._operator = operator
        self._sender = sender
        self._models = models
        self._guards = guards
        self._quarantine = quarantine
        self._funds = funds
        self._exposure = exposure
        self._refresh_s = refresh_s
        self._clock = clock
        self._head: Block | None = None
        self._counted = _Counted()
        self._counted_at: float | None = None
        self._running = _Running()
        self._pause_s = refresh_s
        self._gas_price_wei = 0
        self._usual_gas_price_wei: int | None = None
        self._free_stake_wei = 0
        self._min_bond_wei: int | None = None
        self._offers: dict[ModelId, Offer] = {}

    @property
    def guards(self) -> Guards:
        """What holds now."""
        return self._guards

    @property
    def paused(self) -> bool:
        """Whether nothing new is run for now; what is sworn goes on."""
        return bool(self._funds.paused)

    def reload(self, guards: Guards) -> None:
        """From now on these hold; what runs already goes on."""
        self._guards = guards

    def turn(self, head: Block) -> None:
        """Reads what may have changed. Raises `ChainError`, `StoreError`."""
        if self._head is None or head.hash != self._head.hash:
            self._read_chain(head)
            self._head = head
        now = self._clock()
        # A clock that was set back must not keep an old count alive.
        if self._counted_at is None or not 0 <= now - self._counted_at < self._pause_s:
            begun = time.perf_counter()
            self._quarantine.refresh()
            self._count()
            self._counted_at = now
            # A database with very many open results is counted more rarely: at most a twentieth of the time goes there.
            self._pause_s = max(self._refresh_s, 20 * (time.perf_counter() - begun))

    def refusal(self, job: Job, *, deadline: int, barred: bool) -> Refusal | None:
        """Why a job is not run, if so. Reads nothing; `turn` has to have been called."""
        if self._head is None:
            return Refusal(reason="the chain has not been looked at yet", for_now=True)
        request = job.request
        circumstances = Circumstances(
            now=self._head.timestamp,
            deadline=deadline,
            gas_price_wei=self._gas_price_wei,
            usual_gas_price_wei=self._usual_gas_price_wei,
            free_stake_wei=self._free_stake_wei,
            bond_wei=self._bond(request.value_at_risk_wei),
            offer=self._offers.get(request.model_id, _NO_OFFER),
            barred=barred,
            exposure=self._exposed(request.requester),
            paused=self._funds.paused,
            quarantined=self._quarantine.reason(job),
        )
        model = self._models.get(request.model_id)
        return refusal(job, model=model, guards=self._guards, operator=self._operator, circumstances=circumstances)

    def admitted(self, job: Job) -> None:
        """A job's run begins: its bond counts from now on."""
        request = job.request
        self._running.add(job.request_id, request.requester, self._bond(request.value_at_risk_wei))

    def dropped(self, request_id: RequestId) -> None:
        """A job's run ended without an oath."""
        self._running.drop(request_id)

    def ran(self, job: Job) -> None:
        """A run ended as it should; its bond counts until the database shows the oath."""

    def crashed(self, job: Job, outcome: Unanswerable) -> None:
        """A run came to nothing; the harm that it did is counted. Raises `StoreError`."""
        if outcome.crashed:
            self._quarantine.crashed(job, f"{outcome.code.name}: {outcome.reason}", self._guards)

    def _read_chain(self, head: Block) -> None:
        gateway = self._contracts.gateway
        fees = gateway.fees()
        self._gas_price_wei = fees.base_fee + fees.tip
        self._usual_gas_price_wei = _smoothed(self._usual_gas_price_wei, self._gas_price_wei, self._passed(head))
        self._funds.look(gateway.balance(self._sender), self._guards)
        self._free_stake_wei = self._contracts.free_stake_of(self._operator)
        if self._min_bond_wei is None:
            self._min_bond_wei = self._contracts.bond_for(0)
        models = [model.model_id for model in self._models.values()]
        self._offers = self._contracts.offers_of(self._operator, models)

    def _passed(self, head: Block) -> int:
        return 1 if self._head is None else min(max(head.number - self._head.number, 1), SMOOTHED_BLOCKS)

    def _count(self) -> None:
        # SAFETY: what runs is asked for before the results are counted: whatever is sworn in between counts twice for
        # a moment, never not at all.
        counted = list(self._running)
        running = self._exposure.still_running(counted)
        by_requester: dict[Address, tuple[int, int]] = defaultdict(lambda: (0, 0))
        locked_wei = promised_wei = 0
        for group in self._exposure.open_results():
            bonds_wei = group.count * self._bond(group.value_at_risk_wei)
            wei, count = by_requester[group.requester]
            by_requester[group.requester] = (wei + bonds_wei, count + group.count)
            if group.status in LOCKED:
                locked_wei += bonds_wei
            else:
                promised_wei += bonds_wei
        self._counted = _Counted(locked_wei=locked_wei, promised_wei=promised_wei, by_requester=dict(by_requester))
        for request_id in counted:
            if request_id not in running:
                self._running.drop(request_id)

    def _exposed(self, requester: Address) -> Exposure:
        wei, count = self._counted.by_requester.get(requester, (0, 0))
        running_wei, running = self._running.of(requester)
        return Exposure(
            locked_wei=self._counted.locked_wei,
            promised_wei=self._counted.promised_wei + self._running.wei,
            requester_wei=wei + running_wei,
            requester_open=count + running,
        )

    def _bond(self, value_at_risk_wei: int) -> int:
        # `Bond.sizeFor` of the contracts: the victim's half of it covers the value at risk.
        return max(2 * value_at_risk_wei, self._min_bond_wei or 0)


_NO_OFFER = Offer(active=False, price_wei=0, max_value_at_risk_wei=0, max_window_s=0, max_callback_gas=0)


def _smoothed(usual_wei: int | None, now_wei: int, blocks: int) -> int:
    """An exponential mean; each block weighs one in `SMOOTHED_BLOCKS`."""
    if usual_wei is None:
        return now_wei
    return usual_wei + (now_wei - usual_wei) * blocks // SMOOTHED_BLOCKS
