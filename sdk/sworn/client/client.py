# Generated from client/async_client.py by scripts/generate_sync.py; do not edit.
"""The client: everything that a dapp developer and an operator do with a deployment."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime
from pathlib import Path

from sworn.chain.deployment import verify_deployment
from sworn.chain.deployment_files import load_deployment
from sworn.chain.gateway import Gateway, Receipt
from sworn.chain.pacing import DEFAULT_PACING, Pacing, Sleep, sleep
from sworn.chain.signer import Signer
from sworn.client.checks import Checks
from sworn.client.contracts import Contracts
from sworn.client.directory import Directory
from sworn.client.dispute_records import DisputeRecord
from sworn.client.disputes import DisputeHandle, DisputeLike, Disputes
from sworn.client.docket import Docket
from sworn.client.events import Events
from sworn.client.identities import AccountLike, ProfileLike, RequestLike, address_of, request_id_of, signer_of
from sworn.client.market import Market
from sworn.client.operators import Operators
from sworn.client.play import Player
from sworn.client.recomputing import Materials, TraceLike
from sworn.client.records import (
    Cursor,
    Event,
    InferenceResult,
    ModelLike,
    ModelRecord,
    OperatorOffer,
    Quote,
    RequestReport,
    Rewound,
)
from sworn.client.reports import Reports
from sworn.client.requests import RequestHandle, Requests
from sworn.client.signing import Signing
from sworn.client.terms import AssuranceLike, OperatorLike, RequestOptions, assurance_of
from sworn.client.verdicts import Verification
from sworn.client.verification import Remembering
from sworn.storage.protocol import ArtifactStore
from sworn.types import DEFAULT_PROFILE, Address, Deployment, DisputeStatus, InputShapes, ModelId, Schema, Tensors

DeploymentLike = Deployment | str | Path | None


class Client:
    """One deployment, one account (or none: read-only). Made by `sworn.connect`, or from its parts."""

    def __init__(
        self,
        *,
        gateway: Gateway,
        deployment: Deployment,
        signer: Signer | None = None,
        artifacts: ArtifactStore | None = None,
        pacing: Pacing = DEFAULT_PACING,
        sleep: Sleep = sleep,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
        index: Path | None = None,
    ) -> None:
        self._gateway = gateway
        self._contracts = Contracts(gateway=gateway, deployment=deployment, index=index)
        self._signing = Signing(gateway=gateway, deployment=deployment, signer=signer, pacing=pacing, sleep=sleep)
        self._market = Market(contracts=self._contracts, signing=self._signing, artifacts=artifacts)
        self._docket = Docket(contracts=self._contracts)
        self._reports = Reports(contracts=self._contracts, market=self._market, docket=self._docket)
        self._checks = Checks(contracts=self._contracts, market=self._market, reports=self._reports)
        self._requests = Requests(
            contracts=self._contracts,
            signing=self._signing,
            market=self._market,
            reports=self._reports,
            checks=self._checks,
            pacing=pacing,
            sleep=sleep,
            random_bytes=random_bytes,
        )
        self._disputes = Disputes(
            contracts=self._contracts,
            signing=self._signing,
            reports=self._reports,
            docket=self._docket,
            player=Player(
                contracts=self._contracts,
                signing=self._signing,
                docket=self._docket,
                checks=self._checks,
                pacing=pacing,
                sleep=sleep,
            ),
        )
        self._events = Events(contracts=self._contracts, pacing=pacing, sleep=sleep)
        self.directory = Directory(contracts=self._contracts)
        #: What the account does as an operator.
        self.operator = Operators(contracts=self._contracts, signing=self._signing, market=self._market)

    @classmethod
    def open(
        cls,
        gateway: Gateway,
        *,
        account: AccountLike = None,
        deployment: DeploymentLike = None,
        artifacts: ArtifactStore | None = None,
        pacing: Pacing = DEFAULT_PACING,
    ) -> Client:
        """A client over a gateway, its deployment looked up by chain id unless given, and verified.

        Raises `DeploymentUnknown`, `ChainIdMismatch`, `SignerError`, `ChainError`.
        """
        if not isinstance(deployment, Deployment):
            deployment = load_deployment(gateway.chain_id() if deployment is None else deployment)
        verify_deployment(gateway, deployment)
        return cls(
            gateway=gateway, deployment=deployment, signer=signer_of(account), artifacts=artifacts, pacing=pacing
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._gateway!r}, chain {self.deployment.chain_id})"

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the gateway, where it holds connections."""
        closing = getattr(self._gateway, "close", None)
        if closing is not None:
            closing()

    @property
    def gateway(self) -> Gateway:
        """The way to the chain."""
        return self._gateway

    @property
    def deployment(self) -> Deployment:
        """The contracts that this client talks to."""
        return self._contracts.deployment

    @property
    def address(self) -> Address:
        """The account. Raises `ConfigurationError` when the client is read-only."""
        return self._signing.address

    def register_model(
        self,
        model: ModelLike,
        *,
        uris: Sequence[str] = (),
        profile: ProfileLike = DEFAULT_PROFILE,
        input_shapes: InputShapes | None = None,
    ) -> ModelId:
        """Registers the model of an .onnx file (path or bytes) unless it is, and publishes mirrors of the file.

        Wherever a model is named by its file, ``profile`` ("exact", "bounded" or "signed") says what its results
        promise, and ``input_shapes`` the shapes of inputs whose dimensions the file leaves open; both are part of its
        id. Raises `ProfileUnavailable` for a file that cannot have the profile, and other `ModelError`.
        """
        return self._market.register(model, uris=uris, profile=profile, input_shapes=input_shapes)

    def model(
        self, model: ModelLike, *, profile: ProfileLike = DEFAULT_PROFILE, input_shapes: InputShapes | None = None
    ) -> ModelRecord:
        """A registered model and its mirrors. Raises the contract's `ModelUnknown`."""
        resolved = self._market.resolve(model, profile=profile, input_shapes=input_shapes)
        return self._market.record(resolved.model_id)

    def schema(
        self, model: ModelLike, *, profile: ProfileLike = DEFAULT_PROFILE, input_shapes: InputShapes | None = None
    ) -> Schema:
        """Names, dtypes and shapes of a model's inputs and outputs; fetches and checks the artifact for a bare id."""
        resolved = self._market.resolve(model, profile=profile, input_shapes=input_shapes)
        return self._market.schema(resolved, input_shapes=input_shapes)

    def offers(
        self,
        model: ModelLike,
        *,
        value_at_risk: int = 0,
        window: int | None = None,
        callback: int = False,
        profile: ProfileLike = DEFAULT_PROFILE,
        input_shapes: InputShapes | None = None,
    ) -> tuple[OperatorOffer, ...]:
        """Every operator that has offered the model, the best on these terms first."""
        options = RequestOptions(
            profile=profile,
            input_shapes=input_shapes,
            value_at_risk_wei=value_at_risk,
            window_s=window,
            callback=callback,
        )
        return self._requests.offers(model, options)

    def estimate_fee(
        self,
        *,
        model: ModelLike,
        value_at_risk: int = 0,
        window: int | None = None,
        deadline: float | datetime | None = None,
        callback: int = False,
        max_fee: int | None = None,
        operator: OperatorLike = None,
        input_bytes: int = 0,
        profile: ProfileLike = DEFAULT_PROFILE,
        input_shapes: InputShapes | None = None,
    ) -> Quote:
        """What a request would cost. Raises `QuoteError` with every operator's reasons when nobody serves it."""
        options = RequestOptions(
            profile=profile,
            input_shapes=input_shapes,
            value_at_risk_wei=value_at_risk,
            window_s=window,
            deadline=deadline,
            callback=callback,
            max_fee_wei=max_fee,
            operator=operator,
        )
        return self._requests.quote(model, options, input_bytes=input_bytes)

    def request(
        self,
        *,
        model: ModelLike,
        inputs: Tensors,
        assurance: AssuranceLike = "final",
        window: int | None = None,
        deadline: float | datetime | None = None,
        callback: int = False,
        max_fee: int | None = None,
        fee: int | None = None,
        operator: OperatorLike = None,
        refund_to: str | None = None,
        value_at_risk: int = 0,
        salt: bytes | None = None,
        input_uri: str | None = None,
        profile: ProfileLike = DEFAULT_PROFILE,
        input_shapes: InputShapes | None = None,
    ) -> RequestHandle:
        """Asks for the output of a model on ``inputs`` (arrays by name) and waits until the request is on chain.

        Amounts are in wei, durations in seconds; ``deadline`` is seconds from now or a datetime. ``operator`` is an
        address, None for the cheapest that serves the terms, or "any" to let every operator answer. The fee is the
        operator's price, at most ``max_fee``; ``fee`` pays exactly that and, with a named operator, compares nothing.
        ``callback`` is the gas for a callback to the account. ``input_uri`` sends a reference instead of the input.
        ``profile`` and ``input_shapes`` are those of a model named by its file, as in `register_model`; shapes that the
        file leaves open are by default those of ``inputs``.

        Raises `QuoteError`, `CodecError` for inputs that do not fit the model, `ModelError`, `ArtifactError`,
        `ContractRevert`, `TransactionRejected`, `TransientChainError`.
        """
        options = RequestOptions(
            profile=profile,
            input_shapes=input_shapes,
            assurance=assurance_of(assurance),
            window_s=window,
            deadline=deadline,
            callback=callback,
            max_fee_wei=max_fee,
            fee_wei=fee,
            operator=operator,
            refund_to=refund_to,
            value_at_risk_wei=value_at_risk,
            salt=salt,
            input_uri=input_uri,
        )
        return self._requests.make(model, inputs, options)

    def handle(self, request_id: RequestLike) -> RequestHandle:
        """The handle of any request, rebuilt from its log. Raises `RequestUnknown`."""
        return self._requests.handle(request_id_of(request_id))

    def handles_in(self, transaction_hash: bytes) -> tuple[RequestHandle, ...]:
        """Handles of the requests that a transaction made, such as one through a consumer contract."""
        receipt = self._gateway.receipt(transaction_hash)
        return () if receipt is None else self._requests.handles_in(receipt)

    def status(self, request_id: RequestLike) -> RequestReport:
        """Where a request stands, why, and what to do about it; also for ids that the chain does not know."""
        return self._reports.report(request_id_of(request_id))

    def verify(
        self,
        answered: RequestLike | InferenceResult,
        *,
        model: ModelLike | None = None,
        inputs: Tensors | None = None,
        input_shapes: InputShapes | None = None,
        trace: TraceLike | None = None,
    ) -> Verification:
        """Runs an answered request again on this machine, compares with what was sworn, and says what differs.

        The result is the one that stands, or the one that is given. The model's file comes from its mirrors unless
        ``model`` is the file or a `CompiledModel`; it must compile to the id that was asked. ``inputs`` by name are
        needed for a request by reference. Shapes that the file leaves open are those of the input, or ``input_shapes``.
        In profile `bounded` honest runs may differ, and only the operator's trace decides: ``trace`` is its file.

        Raises `RequestUnknown`, `RequestTimeout` while there is no result, `ArtifactError`, `ModelError`, `TraceError`,
        and `ConfigurationError` for other inputs, another model or another trace than the result is about.
        """
        result_id = answered.result_id if isinstance(answered, InferenceResult) else None
        return self._checks.verify(
            request_id_of(answered),
            requested=answered.requested if isinstance(answered, Remembering) else None,
            result_id=result_id,
            materials=Materials(model=model, inputs=inputs, input_shapes=input_shapes, trace=trace),
        )

    def disputes(
        self,
        *,
        status: DisputeStatus | None = None,
        operator: str | None = None,
        request_id: RequestLike | None = None,
        from_block: int | None = None,
    ) -> tuple[DisputeRecord, ...]:
        """Disputes since a block (default: the deployment's), the newest first; those that fit what is named."""
        return self._docket.listing(
            status=status,
            operator=None if operator is None else address_of(operator),
            request_id=None if request_id is None else request_id_of(request_id),
            from_block=from_block,
        )

    def dispute(self, about: DisputeLike, *, auto: bool = False) -> DisputeHandle:
        """The dispute over a result, opened or not: its state, its bond, and every move in it.

        ``about`` is a request (the result that stands, or else the last that was challenged), an `InferenceResult`, the
        id of a challenged result, a `DisputeRecord`, or for an off-chain result a `Case`. With ``auto`` it is played to
        its end first, as by `DisputeHandle.play`. Raises `RequestUnknown`, and `RequestTimeout` for a request that
        has no result yet.
        """
        handle = self._disputes.handle(about)
        if auto:
            handle.play()
        return handle

    def expire(self, request_id: RequestLike) -> Receipt:
        """Ends a request after its deadline and credits the fee to its ``refund_to``."""
        return (self.handle(request_id)).expire()

    def finalize(self, request_id: RequestLike) -> Receipt:
        """Makes a proposed result final after its window."""
        return (self.handle(request_id)).finalize()

    def retry_callback(self, request_id: RequestLike) -> Receipt:
        """Repeats a request's failed callback."""
        return (self.handle(request_id)).retry_callback()

    def credit(self, account: str | None = None) -> int:
        """Refunds in wei that an account (default: the client's) can withdraw."""
        return self._contracts.credit(self._or_own(account))

    def withdraw(self, account: str | None = None) -> Receipt:
        """Pays an account (default: the client's) its refunds."""
        return self._signing.send("oracle", "withdrawFor", self._or_own(account))

    def reward(self, account: str | None = None) -> int:
        """Rewards and compensations in wei that an account can withdraw."""
        return self._contracts.reward(self._or_own(account))

    def withdraw_reward(self, account: str | None = None) -> Receipt:
        """Pays an account its rewards and compensations."""
        return self._signing.send("dispute_game", "withdrawFor", self._or_own(account))

    def events(
        self,
        *,
        from_block: int | None = None,
        cursor: Cursor | str | None = None,
        request_id: RequestLike | None = None,
        names: Collection[str] | None = None,
        confirmations: int = 0,
        follow: bool = True,
    ) -> Iterator[Event | Rewound]:
        """The contracts' events from a block (default: the deployment's) or behind a cursor on.

        Yields `Event`, and `Rewound` when a reorg makes every event above a block void. ``names`` keeps only events of
        these names. ``follow`` False ends at the latest block with enough ``confirmations``.
        """
        return self._events.stream(
            from_block=from_block,
            cursor=Cursor.parse(cursor) if isinstance(cursor, str) else cursor,
            request_id=None if request_id is None else request_id_of(request_id),
            names=names,
            confirmations=confirmations,
            follow=follow,
        )

    def _or_own(self, account: str | None) -> Address:
        return self.address if account is None else address_of(account)
