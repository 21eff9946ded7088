"""Models and who serves them for how much."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from sworn import abi
from sworn.chain.gateway import Receipt
from sworn.client.async_contracts import AsyncContracts
from sworn.client.async_directory import AsyncCensus
from sworn.client.async_signing import AsyncSigning
from sworn.client.identities import ProfileLike, from_source, named_model, schema_from, shapes_in
from sworn.client.offloading import async_offloaded
from sworn.client.records import ModelLike, ModelRecord, OperatorOffer, Quote, ResolvedModel
from sworn.client.terms import GAS_PER_INPUT_BYTE, REQUEST_GAS, OperatorLike, Terms, assessed, chosen, ranked
from sworn.client.track_records import OFFERS_ONLY
from sworn.codec.structs import model_from_abi, model_to_abi
from sworn.engine.identification import profile_of
from sworn.engine.protocol import ModelSource
from sworn.errors import ArtifactUnavailable, ConfigurationError
from sworn.storage.protocol import ArtifactStore
from sworn.types import DEFAULT_PROFILE, Address, InputShapes, ModelId, Profile, RequestId, Schema, Tensors


class AsyncMarket:
    """The model registry and the offers."""

    def __init__(self, *, contracts: AsyncContracts, signing: AsyncSigning, artifacts: ArtifactStore | None) -> None:
        self._contracts = contracts
        self._signing = signing
        self._artifacts = artifacts
        self._census = AsyncCensus(contracts=contracts, names=OFFERS_ONLY)
        self._schemas: dict[ModelId, Schema] = {}
        self._profiles: dict[ModelId, Profile] = {}
        #: Files that have been compiled, by what their id follows from.
        self._files: dict[tuple[bytes, Profile, tuple[tuple[str, tuple[int, ...]], ...]], ResolvedModel] = {}

    async def resolve(
        self,
        model: ModelLike,
        *,
        profile: ProfileLike = DEFAULT_PROFILE,
        input_shapes: InputShapes | None = None,
        inputs: Tensors | None = None,
    ) -> ResolvedModel:
        """A model as the caller names it. Profile and shapes are those of a file; an id has its own.

        ``inputs`` give the shapes of a file that leaves dimensions open. Raises `ModelError`, `ConfigurationError`.
        """
        wanted = profile_of(profile)
        named = await async_offloaded(lambda: named_model(model))
        resolved = named if isinstance(named, ResolvedModel) else await self._read(named, wanted, input_shapes, inputs)
        if resolved.schema is not None:
            self._schemas[resolved.model_id] = resolved.schema
        return resolved

    async def _read(
        self, artifact: bytes, profile: Profile, given: InputShapes | None, inputs: Tensors | None
    ) -> ResolvedModel:
        shapes = {name: tuple(shape) for name, shape in (given or {}).items()}
        if given is None and inputs is not None and profile is not Profile.SIGNED:
            shapes = dict(await async_offloaded(lambda: shapes_in(artifact, inputs)))
        key = (hashlib.sha256(artifact).digest(), profile, tuple(sorted(shapes.items())))
        if key not in self._files:
            source = ModelSource(artifact=artifact, profile=profile, input_shapes=shapes)
            self._files[key] = await async_offloaded(lambda: from_source(source))
        return replace(self._files[key], artifact=artifact)

    async def register(
        self,
        model: ModelLike,
        *,
        uris: Sequence[str] = (),
        profile: ProfileLike = DEFAULT_PROFILE,
        input_shapes: InputShapes | None = None,
    ) -> ModelId:
        """Registers a model unless it is registered, and publishes the mirrors that are not published yet."""
        resolved = await self.resolve(model, profile=profile, input_shapes=input_shapes)
        if resolved.model is None:
            raise ConfigurationError("registering takes the .onnx file, not its id")
        if self._artifacts is not None and resolved.artifact is not None:
            store, artifact = self._artifacts, resolved.artifact
            await async_offloaded(lambda: store.put(artifact))
        if await self.profile(resolved.model_id) is Profile.NONE:
            await self._send("register", model_to_abi(resolved.model))
        known = await self._uris(resolved.model_id) if uris else ()
        for uri in uris:
            if uri not in known:
                await self._send("publish", resolved.model_id, uri)
        return resolved.model_id

    async def record(self, model_id: ModelId) -> ModelRecord:
        """A registered model. Raises the contract's `ModelUnknown` when it is not registered."""
        log = await self._contracts.newest_log("model_registry", "ModelRegistered", model_id)
        if log is None:
            raise abi.contract_error(_model_unknown(model_id))
        event = abi.interface("ModelRegistry").decode_log(log.topics, log.data)
        return ModelRecord(
            model_id=model_id,
            model=model_from_abi(event.arguments["model"]),
            uris=await self._uris(model_id),
            block_number=log.block_number,
        )

    async def schema(
        self, resolved: ResolvedModel, *, input_shapes: InputShapes | None = None, inputs: Tensors | None = None
    ) -> Schema:
        """Names, dtypes and shapes of a model's inputs and outputs.

        For an id the artifact is fetched from the published mirrors, compiled where the model has a program, and
        compared with what is registered; ``input_shapes``, or else ``inputs``, give what its file leaves open. Raises
        `ArtifactError` when it cannot be had or makes another model, `ModelError`, `ConfigurationError`.
        """
        known = resolved.schema or self._schemas.get(resolved.model_id)
        if known is not None:
            return known
        record = await self.record(resolved.model_id)
        artifact, shapes = await self.artifact(record), input_shapes or {}
        if input_shapes is None and inputs is not None:
            shapes = await async_offloaded(lambda: shapes_in(artifact, inputs))
        schema = await async_offloaded(lambda: schema_from(artifact, expected=record.model, input_shapes=shapes))
        self._schemas[resolved.model_id] = schema
        return schema

    async def artifact(self, record: ModelRecord) -> bytes:
        """The file of a registered model, from the store or a published mirror. Raises `ArtifactError`."""
        if self._artifacts is None:
            raise ArtifactUnavailable("no artifact store is configured: pass the .onnx file instead of the model's id")
        store = self._artifacts
        return await async_offloaded(lambda: store.get(record.model.artifact_hash, uris=record.uris))

    async def profile(self, model_id: ModelId) -> Profile:
        """The profile of a registered model; `Profile.NONE` when it is not registered."""
        if model_id not in self._profiles:
            profile = await self._contracts.profile(model_id)
            if profile is Profile.NONE:
                return profile
            self._profiles[model_id] = profile
        return self._profiles[model_id]

    def known_schema(self, model_id: ModelId) -> Schema | None:
        """The schema of a model that this client has seen."""
        return self._schemas.get(model_id)

    async def offers(self, terms: Terms, *, request_id: RequestId | None = None) -> tuple[OperatorOffer, ...]:
        """Every operator that has ever offered the model, assessed, the best first."""
        operators = (await self._census.tally()).operators(terms.model_id)
        return ranked(await self._assessed(operators, terms, request_id))

    async def offer(self, operator: Address, terms: Terms, *, request_id: RequestId | None = None) -> OperatorOffer:
        """One operator's offer, assessed."""
        return (await self._assessed((operator,), terms, request_id))[0]

    async def quote(self, terms: Terms, *, operator: OperatorLike, input_bytes: int) -> Quote:
        """The cheapest viable offer, or the named operator's. Raises `QuoteError` with the reasons."""
        offers = await self.offers(terms)
        best = chosen(offers, model_id=terms.model_id, operator=operator)
        fees = await self._contracts.gateway.fees()
        gas = REQUEST_GAS + GAS_PER_INPUT_BYTE * input_bytes
        return Quote(
            operator=best.operator,
            fee_wei=best.offer.price_wei,
            bond_wei=terms.bond_wei,
            gas_estimate_wei=gas * (fees.base_fee + fees.tip),
            offers=offers,
        )

    async def _assessed(
        self, operators: Sequence[Address], terms: Terms, request_id: RequestId | None
    ) -> list[OperatorOffer]:
        accounts = await self._contracts.accounts(operators)
        offers = await self._contracts.offers([(operator, terms.model_id) for operator in operators])
        barred: Sequence[bool] = [False] * len(operators)
        if request_id is not None:
            barred = await self._contracts.views(
                "oracle", "isBarred", [(request_id, operator) for operator in operators]
            )
        found = [
            OperatorOffer(
                operator=operator,
                offer=offer,
                registered=accounts[operator].registered,
                free_stake_wei=accounts[operator].free_wei,
                not_after=accounts[operator].not_after,
                barred=is_barred,
            )
            for operator, offer, is_barred in zip(operators, offers, barred, strict=True)
        ]
        return [assessed(offer, terms) for offer in found]

    async def _uris(self, model_id: ModelId) -> tuple[str, ...]:
        uris: dict[str, None] = {}
        for log in await self._contracts.logs("model_registry", "ArtifactPublished", model_id):
            uris[abi.interface("ModelRegistry").decode_log(log.topics, log.data).arguments["uri"]] = None
        return tuple(uris)

    async def _send(self, function: str, *args: object) -> Receipt:
        return await self._signing.send("model_registry", function, *args)


def _model_unknown(model_id: ModelId) -> bytes:
    return abi.reverts()["ModelUnknown"].selector + model_id
