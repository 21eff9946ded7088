"""Where models run: who has announced them, on which terms, with what stake and record."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sworn.chain.gateway import Block, Log
from sworn.client.async_contracts import MAX_RANGE, AsyncContracts
from sworn.client.tally_file import Counted, FileTallyStore, TallyStore
from sworn.client.track_records import ALL_CONTRACTS, Announcement, Tally, topics_of
from sworn.errors import ChainError, TransientChainError
from sworn.types import Address, Deployment, ModelId, Offer

#: Blocks below the head that no reorganisation is expected to reach. What is above is read again every time.
SETTLED_DEPTH: Final = 64
#: Log queries between two writes of the index: what is read is not read again when the command is interrupted.
_SAVE_EVERY: Final = 50
#: Most blocks of one query, where the node serves them, and logs in an answer after which a range is not widened.
_WIDEST: Final = 1 << 18
_FEW_LOGS: Final = 500


class AsyncCensus:
    """Counts events from the deployment on, and only new ones the next time."""

    def __init__(
        self,
        *,
        contracts: AsyncContracts,
        names: tuple[str, ...] = ALL_CONTRACTS,
        depth: int = SETTLED_DEPTH,
    ) -> None:
        self._contracts = contracts
        self._addresses = tuple(getattr(contracts.deployment, name) for name in names)
        self._topics = (topics_of(names),)
        self._store = None if contracts.index is None else _store(contracts.deployment, contracts.index, names)
        self._depth = depth
        self._range = 0
        self._widest = _WIDEST
        self._counted: Counted | None = None

    async def tally(self) -> Tally:
        """Everything up to the latest block; not to be changed. Raises `ChainError`, `ConfigurationError`."""
        head = await self._contracts.head()
        counted = await self._standing(head)
        first = self._contracts.deployment.block if counted is None else counted.number + 1
        settled = head.number - self._depth
        if first <= settled:
            await self._settle(counted, first, settled)
            counted, first = self._counted, settled + 1
        # INVARIANT: what may still be reorganised is counted into a copy that nobody keeps.
        tally = Tally() if counted is None else counted.tally.copy()
        await self._count(tally, first, head.number)
        return tally

    async def _standing(self, head: Block) -> Counted | None:
        """What has been counted, if the chain still has it."""
        if self._counted is None and self._store is not None:
            self._counted = self._store.load()
        counted = self._counted
        if counted is None or counted.number > head.number:
            return None
        block = await self._contracts.gateway.block(counted.number)
        return counted if block.hash == counted.block_hash else None

    async def _settle(self, counted: Counted | None, first: int, last: int) -> None:
        tally = Tally() if counted is None else counted.tally.copy()
        span = MAX_RANGE * _SAVE_EVERY
        for start in range(first, last + 1, span):
            end = min(start + span - 1, last)
            before = await self._contracts.gateway.block(end)
            await self._count(tally, start, end)
            # SAFETY: the same header before and after means that the logs in between came from its chain.
            if (await self._contracts.gateway.block(end)).hash != before.hash:
                raise TransientChainError(f"the chain changed below block {end} while it was read: try again")
            self._counted = Counted(number=end, block_hash=before.hash, tally=tally.copy())
            if self._store is not None:
                self._store.save(self._counted)

    async def _count(self, tally: Tally, first: int, last: int) -> None:
        """Reads in ranges that grow where little happens, as far as the node serves them."""
        start = first
        while start <= last:
            end = min(start + max(self._range, MAX_RANGE) - 1, last)
            logs = await self._logs(start, end)
            if logs is None:
                continue
            tally.count(logs)
            if len(logs) < _FEW_LOGS:
                self._range = min(2 * (end - start + 1), self._widest)
            start = end + 1

    async def _logs(self, first: int, last: int) -> list[Log] | None:
        """The logs of a range; None, and smaller ranges from now on, where the node did not serve it."""
        if last - first < MAX_RANGE:
            return await self._contracts.logs_between(self._addresses, self._topics, first, last)
        try:
            return await self._contracts.gateway.logs(
                addresses=self._addresses, topics=self._topics, from_block=first, to_block=last
            )
        except ChainError:
            # Refused or failed: at the usual range it is asked again, and raised.
            self._range = self._widest = (last - first + 1) // 2
            return None


class AsyncDirectory:
    """Every operator that has announced a model."""

    def __init__(self, *, contracts: AsyncContracts) -> None:
        self._contracts = contracts
        self._census = AsyncCensus(contracts=contracts)

    async def where(self, model_id: ModelId | None = None) -> tuple[Announcement, ...]:
        """Who serves a model, or every model: active ones first, the cheapest first, then by free stake.

        Raises `ChainError`, and `ConfigurationError` where the index cannot be written.
        """
        tally = await self._census.tally()
        models = tally.models() if model_id is None else (model_id,)
        pairs = [(operator, model) for model in models for operator in tally.operators(model)]
        accounts = await self._contracts.accounts(list(dict.fromkeys(operator for operator, _ in pairs)))
        offers = await self._contracts.offers(pairs)
        found = [
            Announcement(
                model_id=model,
                operator=operator,
                offer=offer,
                registered=accounts[operator].registered,
                stake_wei=accounts[operator].stake_wei,
                locked_wei=accounts[operator].locked_wei,
                free_wei=accounts[operator].free_wei,
                not_after=accounts[operator].not_after,
                record=tally.record(operator, model),
            )
            for (operator, model), offer in zip(pairs, offers, strict=True)
        ]
        return tuple(sorted(found, key=_rank))

    async def offers_of(self, operator: Address) -> dict[ModelId, Offer]:
        """An operator's terms for every model that it has ever announced. Raises as `where` does."""
        tally = await self._census.tally()
        models = [model for model in tally.models() if operator in tally.operators(model)]
        offers = await self._contracts.offers([(operator, model) for model in models])
        return dict(zip(models, offers, strict=True))


def _store(deployment: Deployment, folder: Path, names: tuple[str, ...]) -> TallyStore:
    """The file for a deployment, and for what is counted of it."""
    kind = "records" if names == ALL_CONTRACTS else "offers"
    addresses = ":".join(getattr(deployment, name) for name in names)
    return FileTallyStore(
        path=folder.expanduser() / f"{kind}-{deployment.chain_id}-{deployment.operator_registry.lower()}.json",
        about=f"{deployment.chain_id}:{deployment.block}:{addresses}",
    )


def _rank(found: Announcement) -> tuple[bytes, bool, int, int, str]:
    serves = found.offer.active and found.registered
    return (found.model_id, not serves, found.offer.price_wei, -found.free_wei, found.operator.lower())
