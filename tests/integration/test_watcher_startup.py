from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.graphs import unary
from tests.support.watcher_world import WatcherWorld, open_world, served_reciprocal

from sworn.chain.transactions import Intent, TransactionRecord, TransactionStatus
from sworn.engine.identification import identify
from sworn.errors import ArtifactUnavailable, ChainIdMismatch, ConfigurationError, StoreError
from sworn.model import read_artifact
from sworn.testing.local_chain import EmbeddedChain
from sworn.types import Address, ModelId
from sworn.watcher.models import load_models
from sworn.watcher.policy import ServedModel
from sworn.watcher.settings import ModelSettings, ProfileName
from sworn.watcher.startup import check_startup
from sworn.watcher.store.database import Database, open_database
from sworn.watcher.store.jobs import JobStore
from sworn.watcher.store.migration import upgrade
from sworn.watcher.store.transactions import SqlTransactionStore

STRANGER = Address("0x" + "77" * 20)


class MemoryArtifacts:
    """An `ArtifactStore` with one artifact, which remembers what it was asked."""

    def __init__(self, artifact: bytes) -> None:
        self.artifact = artifact
        self.asked: list[tuple[bytes, tuple[str, ...]]] = []

    def get(self, artifact_hash: bytes, *, uris: tuple[str, ...] = ()) -> bytes:
        self.asked.append((artifact_hash, uris))
        if not uris:
            raise ArtifactUnavailable("no mirror")
        return self.artifact

    def put(self, artifact: bytes) -> bytes:
        raise NotImplementedError


@pytest.fixture(scope="module")
def world() -> WatcherWorld:
    """Contracts, operator and model on an embedded chain; nothing here changes them but one mirror."""
    return open_world(EmbeddedChain())


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A migrated database."""
    database = open_database(f"sqlite:///{tmp_path}/watcher.db")
    upgrade(database)
    yield database
    database.close()


def _check(
    world: WatcherWorld,
    database: Database,
    *,
    operator: Address | None = None,
    result_signer: Address | None = None,
    model: ServedModel | None = None,
) -> tuple[str, ...]:
    return check_startup(
        contracts=world.contracts,
        store=JobStore(database=database),
        operator=operator or world.operator.address,
        result_signers=[result_signer or world.result_signer.address],
        sender=world.transaction_signer.address,
        models=[model or served_reciprocal()],
    )


def test_startup_of_operator_in_order_passes_without_warning(world: WatcherWorld, database: Database) -> None:
    """A registered operator with an authorised signer, stake and an offer may start."""
    assert _check(world, database) == ()


def test_startup_with_transactions_of_a_forgotten_key_says_which(world: WatcherWorld, database: Database) -> None:
    """A key that was taken out of the settings too early leaves jobs that wait for ever: the start says so."""
    store = SqlTransactionStore(database=database, chain_id=world.deployment.chain_id)
    intent = Intent(key="propose:1", to=world.deployment.oracle, data=b"", gas_cap=21_000)
    signed = TransactionRecord(intent=intent, sender=STRANGER, status=TransactionStatus.SIGNED, nonce=0, gas=21_000)
    store.put(signed)
    (warning,) = _check(world, database)
    assert STRANGER in warning
    store.put(replace(signed, sender=world.transaction_signer.address))
    assert _check(world, database) == ()


def test_startup_of_unregistered_operator_says_to_register(world: WatcherWorld, database: Database) -> None:
    """An unknown operator is told what to do."""
    with pytest.raises(ConfigurationError, match="register"):
        _check(world, database, operator=STRANGER)


def test_startup_with_unauthorised_signer_and_unknown_model_lists_both(world: WatcherWorld, database: Database) -> None:
    """Every problem is said at once."""
    served = served_reciprocal()
    unknown = replace(served, identified=replace(served.identified, model_id=ModelId(b"\x01" * 32)))
    with pytest.raises(ConfigurationError) as caught:
        _check(world, database, result_signer=STRANGER, model=unknown)
    assert STRANGER in str(caught.value)
    assert "01" * 32 in str(caught.value)


def test_startup_on_another_chain_is_refused(world: WatcherWorld, database: Database) -> None:
    """A deployment of another chain is recognised before anything else."""
    elsewhere = replace(world, deployment=replace(world.deployment, chain_id=5))
    with pytest.raises(ChainIdMismatch):
        _check(elsewhere, database)


def test_startup_without_contracts_names_the_addresses(world: WatcherWorld, database: Database) -> None:
    """A deployment file with wrong addresses is recognised."""
    wrong = replace(world, deployment=replace(world.deployment, oracle=STRANGER))
    with pytest.raises(ConfigurationError, match=STRANGER):
        _check(wrong, database)


def test_startup_with_old_database_asks_for_migration(world: WatcherWorld, tmp_path: Path) -> None:
    """A database without the newest schema is refused."""
    database = open_database(f"sqlite:///{tmp_path}/old.db")
    with pytest.raises(StoreError, match="migrate"):
        _check(world, database)
    database.close()


def _load(world: WatcherWorld, artifacts: MemoryArtifacts, *settings: ModelSettings) -> list[ServedModel]:
    models = load_models(
        settings,
        contracts=world.contracts,
        artifacts=artifacts,
        identify=lambda source, *, limits: identify(source),
        read=read_artifact,
        max_trace_bytes=1 << 20,
    )
    assert all(key == model.model_id for key, model in models.items())
    return list(models.values())


def test_model_from_file_is_identified_by_its_content(world: WatcherWorld, tmp_path: Path) -> None:
    """An artifact on disk is served under the id computed from it."""
    path = tmp_path / "model.onnx"
    path.write_bytes(world.artifact)
    (model,) = _load(world, MemoryArtifacts(b""), ModelSettings(artifact=path, profile=ProfileName.SIGNED, price_wei=5))
    assert (model.model_id, model.identified.source.artifact, model.price_wei) == (world.model_id, world.artifact, 5)


def test_model_from_file_with_another_id_is_refused(world: WatcherWorld, tmp_path: Path) -> None:
    """A configured id that the artifact does not have stops the start."""
    path = tmp_path / "model.onnx"
    path.write_bytes(unary("Neg"))
    entry = ModelSettings(artifact=path, model_id="0x" + world.model_id.hex(), profile=ProfileName.SIGNED)
    with pytest.raises(ConfigurationError, match="not 0x"):
        _load(world, MemoryArtifacts(b""), entry)


def test_model_by_id_alone_comes_from_a_published_mirror(world: WatcherWorld) -> None:
    """An id without a file is looked up on chain and fetched from where somebody published it."""
    world.send(world.requester, "ModelRegistry", "publish", world.model_id, "https://mirror.example/m")
    artifacts = MemoryArtifacts(world.artifact)
    (model,) = _load(world, artifacts, ModelSettings(model_id="0x" + world.model_id.hex()))
    assert model.identified.source.artifact == world.artifact
    assert artifacts.asked == [(world.model.artifact_hash, ("https://mirror.example/m",))]


def test_model_by_unknown_id_says_to_register(world: WatcherWorld) -> None:
    """An id that is not registered cannot be served without its file."""
    with pytest.raises(ConfigurationError, match="not registered"):
        _load(world, MemoryArtifacts(b""), ModelSettings(model_id="0x" + "12" * 32))


def test_model_configured_twice_is_refused(world: WatcherWorld, tmp_path: Path) -> None:
    """Two sets of terms for one model are a mistake."""
    path = tmp_path / "model.onnx"
    path.write_bytes(world.artifact)
    entry = ModelSettings(artifact=path, profile=ProfileName.SIGNED)
    with pytest.raises(ConfigurationError, match="twice"):
        _load(world, MemoryArtifacts(b""), entry, entry)
