"""A whole oracle on a local chain: contracts, one operator, its watcher, clients.

::

    with start_oracle() as oracle:
        model_id = oracle.serve("risk.onnx")
        handle = oracle.client().request(model=model_id, inputs={"features": rows})
        oracle.fulfil()
        assert handle.wait().final
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Final

from sworn.chain.deployment import deploy
from sworn.chain.deployment_files import DEFAULT_PARAMETERS
from sworn.chain.gateway import Gateway
from sworn.chain.pacing import Pacing, Sleep
from sworn.chain.pacing import sleep as real_sleep
from sworn.chain.signer import LocalSigner, Signer
from sworn.client import Client
from sworn.engine.identification import ProfileLike, profile_of
from sworn.engine.protocol import ModelSource, RunLimits
from sworn.errors import ArtifactUnavailable
from sworn.model import read_artifact
from sworn.testing.local_chain import ChainKind, LocalChain, open_chain
from sworn.testing.local_watcher import LocalWatcher
from sworn.types import DEFAULT_PROFILE, InputShapes, ModelId
from sworn.watcher.policy import ServedModel

#: As on a public chain, but with windows of a second, so that nobody has to wait for them.
LOCAL_PARAMETERS: Final[Mapping[str, int]] = MappingProxyType({**DEFAULT_PARAMETERS, "minWindowSeconds": 1})
ETHER: Final = 10**18
DEFAULT_STAKE_WEI: Final = 100 * ETHER
DEFAULT_PRICE_WEI: Final = ETHER // 1000
DEFAULT_MAX_VALUE_AT_RISK_WEI: Final = 10 * ETHER
DEFAULT_MAX_WINDOW_S: Final = 86_400
DEFAULT_MAX_CALLBACK_GAS: Final = 1_000_000
#: How `LocalOracle.pass_time` moves: far enough for a commitment to a fault to ripen, not so far that it lapses.
LEAP_S: Final = 600
LEAP_BLOCKS: Final = 5
#: A local chain mines at once.
PACING: Final = Pacing(poll_s=0.02, transaction_timeout_s=30.0, clock=time.monotonic)

ModelSourceLike = bytes | str | os.PathLike[str]


class MemoryArtifactStore:
    """An `ArtifactStore` that holds everything in memory and fetches nothing."""

    def __init__(self) -> None:
        self._artifacts: dict[bytes, bytes] = {}

    def get(self, artifact_hash: bytes, *, uris: tuple[str, ...] = ()) -> bytes:
        if artifact_hash not in self._artifacts:
            raise ArtifactUnavailable(f"no artifact 0x{artifact_hash.hex()} has been put here")
        return self._artifacts[artifact_hash]

    def put(self, artifact: bytes) -> bytes:
        digest = hashlib.sha256(artifact).digest()
        self._artifacts[digest] = artifact
        return digest


@contextmanager
def start_oracle(kind: ChainKind = ChainKind.EMBEDDED) -> Iterator[LocalOracle]:
    """An oracle with a registered operator on a chain of its own, for the length of a ``with`` block."""
    chain = open_chain(kind)
    try:
        oracle = LocalOracle(chain)
        oracle.enrol()
        try:
            yield oracle
        finally:
            oracle.close()
    finally:
        chain.close()


class LocalOracle:
    """The contracts on a local chain, deployed by its first key.

    Keys by use: 0 deploys, 1 is the operator, 2 signs its results, 3 is the default client, 9 sends for the watcher.
    `enrol` makes the operator.
    """

    def __init__(
        self,
        chain: LocalChain,
        *,
        parameters: Mapping[str, int] = LOCAL_PARAMETERS,
        gateway: Gateway | None = None,
    ) -> None:
        self.chain = chain
        self.gateway = gateway or chain.gateway
        self.artifacts = MemoryArtifactStore()
        self.operator: LocalSigner = chain.signers[1]
        self.result_signer: LocalSigner = chain.signers[2]
        self.deployment = deploy(self.gateway, chain.signers[0], parameters=parameters, pacing=PACING)
        self.watcher = LocalWatcher(
            gateway=self.gateway,
            deployment=self.deployment,
            operator=self.operator.address,
            transaction_signer=chain.signers[9],
            result_signer=self.result_signer,
        )

    def client(self, account: Signer | None = None, *, sleep: Sleep = real_sleep) -> Client:
        """A client for an account, by default the chain's fourth key; ``sleep`` is what it does while it waits."""
        return Client(
            gateway=self.gateway,
            deployment=self.deployment,
            signer=account or self.chain.signers[3],
            artifacts=self.artifacts,
            pacing=PACING,
            sleep=sleep,
        )

    def enrol(self, *, stake_wei: int = DEFAULT_STAKE_WEI) -> None:
        """Registers the operator with a stake and authorises its result signer."""
        operator = self.client(self.operator).operator
        operator.register(stake_wei=stake_wei, metadata_uri="local")
        operator.authorize_signer(self.result_signer.address)

    def serve(
        self,
        model: ModelSourceLike,
        *,
        profile: ProfileLike = DEFAULT_PROFILE,
        input_shapes: InputShapes | None = None,
        price_wei: int = DEFAULT_PRICE_WEI,
        max_value_at_risk_wei: int = DEFAULT_MAX_VALUE_AT_RISK_WEI,
        max_window_s: int = DEFAULT_MAX_WINDOW_S,
        max_callback_gas: int = DEFAULT_MAX_CALLBACK_GAS,
    ) -> ModelId:
        """Registers a model given as path or bytes, posts the operator's offer for it, and has the watcher serve it.

        Raises `ModelError`, of it `ProfileUnavailable` for a model that cannot have the profile.
        """
        artifact = model if isinstance(model, bytes) else read_artifact(model)
        served = ServedModel(
            identified=self.watcher.identify(
                ModelSource(artifact=artifact, profile=profile_of(profile), input_shapes=input_shapes or {})
            ),
            price_wei=price_wei,
            max_value_at_risk_wei=max_value_at_risk_wei,
            max_window_s=max_window_s,
            max_callback_gas=max_callback_gas,
            limits=RunLimits(),
        )
        client = self.client(self.operator)
        client.register_model(served.identified)
        self.artifacts.put(artifact)
        client.operator.set_offer(
            served.model_id,
            price_wei=price_wei,
            max_value_at_risk_wei=max_value_at_risk_wei,
            max_window_s=max_window_s,
            max_callback_gas=max_callback_gas,
        )
        self.watcher.serve(served)
        return served.model_id

    def answer(self) -> None:
        """Lets the watcher do all that it can now: propose, fail, finalize what is due."""
        self.watcher.step()

    def fulfil(self) -> None:
        """Lets the watcher answer what is open, moves time past the challenge windows, and lets it finalize."""
        self.answer()
        due_at = self.watcher.due_at()
        if due_at is not None:
            self.chain.advance(max(due_at - self.gateway.block("latest").timestamp, 0))
            self.answer()

    def pass_time(self, seconds: float = LEAP_S) -> None:
        """Lets the watcher do all that it can, then moves time on by minutes: the ``sleep`` of a client that disputes.

        However short a wait is meant to be, it is `LEAP_S` seconds long: a dispute takes hours.
        """
        self.answer()
        self.chain.mine(LEAP_BLOCKS)
        self.chain.advance(max(int(seconds), LEAP_S))

    def close(self) -> None:
        """Ends the watcher; the chain stays. Idempotent."""
        self.watcher.close()
