from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sworn.cli.challenging import template
from sworn.codec.tensors import encode_payload, encode_reference
from sworn.codec.trees import payload_root
from sworn.dispute.case import NO_REQUEST
from sworn.errors import ArtifactUnavailable, ConfigurationError, InputRejected
from sworn.types import ZERO_HASH, Address, Request, RequestId, ResultId
from sworn.watcher.challenger.checking import Checker, Verdict
from sworn.watcher.challenger.claims import Claim, ClaimStatus, Scrutiny, sampled
from sworn.watcher.challenger.evidence_folder import EvidenceFolder
from sworn.watcher.challenger.nearness import is_near
from sworn.watcher.challenger.settings import (
    dump_challenger_settings,
    load_challenger_settings,
    validate_challenger_settings,
)
from sworn.watcher.challenger.store import Asked, ClaimStore
from sworn.watcher.store.database import Database, open_database
from sworn.watcher.store.migration import upgrade
from sworn.watcher.store.payloads import PayloadStore

PAYLOAD = encode_payload([np.arange(4, dtype=np.float32)])
SOMEBODY = Address("0x" + "11" * 20)
MINIMAL: dict[str, Any] = {
    "chain": {"rpc_url": "http://user:secret@localhost:8545/key", "chain_id": 31337},
    "database_url": "sqlite:////tmp/challenger.db",
}


def claim_with(given: bytes, *, root: bytes) -> Claim:
    """A claim about an input."""
    request: Request = replace(NO_REQUEST, input_root=root)
    return Claim(
        result_id=ResultId(b"\x01" * 32),
        request_id=RequestId(b"\x02" * 32),
        request=request,
        input=given,
        operator=SOMEBODY,
        trace_root=ZERO_HASH,
        output=PAYLOAD,
        signature=bytes(65),
        block_number=1,
        block_hash=ZERO_HASH,
        transaction_hash=ZERO_HASH,
    )


def folder_in(folder: Path) -> Path:
    """Another one."""
    (folder / "other").mkdir()
    return folder / "other"


def database_in(folder: Path) -> Database:
    """The same one after every restart."""
    database = open_database(f"sqlite:///{folder}/challenger.db")
    upgrade(database)
    return database


def checker_of(folder: Path, *, fetched: bytes = b"") -> Checker:
    """A checker that only reads payloads."""
    nobody: Any = None
    return Checker(
        shelf=nobody,
        engine=nobody,
        fetch=lambda uri, max_bytes: fetched,
        input_hosts=frozenset({"data.example"}),
        max_input_bytes=1 << 20,
        payloads=PayloadStore(database=database_in(folder)),
        sources={},
        folder=EvidenceFolder(folder),
        tolerance=0.0,
    )


def test_payload_given_by_reference_counts_only_with_its_root(tmp_path: Path) -> None:
    """What a host gives may be anything: nobody is judged by another input."""
    claim = claim_with(encode_reference("https://data.example/x"), root=payload_root(PAYLOAD))
    assert checker_of(tmp_path, fetched=PAYLOAD).payload(claim) == PAYLOAD
    other = encode_payload([np.zeros(4, dtype=np.float32)])
    with pytest.raises(InputRejected, match="input root"):
        checker_of(folder_in(tmp_path), fetched=other).payload(claim)
    with pytest.raises(InputRejected):
        checker_of(tmp_path).payload(claim_with(PAYLOAD, root=ZERO_HASH))


def test_payload_that_was_fetched_is_there_until_its_claim_is_over(tmp_path: Path) -> None:
    """Whoever named the place takes it away once a bond is posted; a restart in between changes nothing."""
    claim = claim_with(encode_reference("https://data.example/x"), root=payload_root(PAYLOAD))
    assert checker_of(tmp_path, fetched=PAYLOAD).payload(claim) == PAYLOAD
    restarted = checker_of(tmp_path, fetched=encode_payload([np.zeros(4, dtype=np.float32)]))
    assert restarted.payload(claim) == PAYLOAD
    restarted.forget(claim)
    with pytest.raises(InputRejected):
        restarted.payload(claim)


def test_payload_of_an_open_claim_outlives_sweeps_and_the_end_of_another_one(tmp_path: Path) -> None:
    """Two claims may be about one input."""
    claim = claim_with(encode_reference("https://data.example/x"), root=payload_root(PAYLOAD))
    checker, store = checker_of(tmp_path, fetched=PAYLOAD), ClaimStore(database=database_in(tmp_path))
    asked = Asked(request_id=claim.request_id, request=claim.request, input=claim.input, block_number=1)
    store.advance(history=(), asked=[asked], seen=[claim], rewound_to=None)
    checker.payload(claim)
    checker.forget(replace(claim, result_id=ResultId(b"\x03" * 32)))
    checker_of(tmp_path).sweep(store.open_claims())
    assert checker_of(tmp_path).payload(claim) == PAYLOAD
    store.save(replace(claim, status=ClaimStatus.SETTLED))
    checker_of(tmp_path).sweep(store.open_claims())
    assert checker.payloads.find(claim.request.input_root) is None


@pytest.mark.parametrize("given", [PAYLOAD, b"\xff" * 64, b"\x00\xff\xff", b""])
def test_input_that_is_not_the_one_committed_to_is_judged_by_nobody_and_not_looked_at_for_ever(
    tmp_path: Path, given: bytes
) -> None:
    """The answer may be right for the input that only its requester knows; what was emitted does not change."""
    nothing: Any = None
    found = checker_of(tmp_path).check(claim_with(given, root=ZERO_HASH), nothing, nothing)
    assert found.verdict is Verdict.UNDECIDED
    referring = claim_with(encode_reference("https://data.example/x"), root=ZERO_HASH)
    with pytest.raises(InputRejected):
        checker_of(tmp_path, fetched=PAYLOAD).check(referring, nothing, nothing)


def test_claim_whose_reference_cannot_be_read_is_forgotten_like_any_other(tmp_path: Path) -> None:
    """A requester writes what it likes: an error there would stop every turn."""
    checker_of(tmp_path).forget(claim_with(b"\x00\xff\xff", root=ZERO_HASH))


def labels(label: int, *scores: float) -> dict[str, Any]:
    """What a classifier gives for one row."""
    return {"label": np.array([label]), "p": np.array([scores], dtype=np.float32)}


def test_label_is_near_another_one_only_where_scores_tie() -> None:
    """A label is what a contract acts on: scores that match do not make another one honest."""
    assert not is_near(labels(1, 0.99, 0.01), labels(0, 0.99, 0.01), tolerance=1e-3)
    tie = labels(0, 0.50001, 0.49999, 0.0)
    assert is_near(labels(1, 0.50001, 0.49999, 0.0), tie, tolerance=1e-3)
    assert not is_near(labels(2, 0.50001, 0.49999, 0.0), tie, tolerance=1e-3)
    assert not is_near(labels(7, 0.50001, 0.49999, 0.0), tie, tolerance=1e-3)
    assert not is_near(labels(1, 0.5, 0.5), labels(0, 0.5, 0.5), tolerance=0.0)
    assert not is_near({"label": np.array([1])}, {"label": np.array([0])}, tolerance=1.0)
    assert is_near(labels(0, 0.9901, 0.0099), labels(0, 0.99, 0.01), tolerance=1e-3)
    assert not is_near(labels(0, 0.98, 0.02), labels(0, 0.99, 0.01), tolerance=1e-3)


def test_label_of_each_row_needs_a_tie_of_its_own() -> None:
    """One tie in a batch excuses no lie about another row; classes may have other names than their places."""
    scores = np.array([[0.5, 0.5], [0.9, 0.1]], dtype=np.float32)
    own = {"label": np.array([0, 0]), "p": scores}
    assert is_near({"label": np.array([1, 0]), "p": scores}, own, tolerance=1e-3)
    assert not is_near({"label": np.array([0, 1]), "p": scores}, own, tolerance=1e-3)
    named = {"label": np.array([10, 10]), "p": scores}
    assert is_near({"label": np.array([20, 10]), "p": scores}, named, tolerance=1e-3)
    assert not is_near({"label": np.array([10, 20]), "p": scores}, named, tolerance=1e-3)


@pytest.mark.parametrize("uri", ["https://elsewhere.example/x", "file:///etc/passwd", "ftp://data.example/x"])
def test_payload_from_host_that_is_not_trusted_is_not_fetched(tmp_path: Path, uri: str) -> None:
    """A requester chooses the address."""
    with pytest.raises(ArtifactUnavailable):
        checker_of(tmp_path, fetched=PAYLOAD).payload(claim_with(encode_reference(uri), root=payload_root(PAYLOAD)))


def test_sample_is_a_share_that_only_the_secret_tells() -> None:
    """The same after every restart; another installation checks others."""
    ids = [ResultId(number.to_bytes(32)) for number in range(2000)]
    chosen = [sampled(each, b"\x01" * 32, 0.25) for each in ids]
    assert 400 < sum(chosen) < 600
    assert chosen == [sampled(each, b"\x01" * 32, 0.25) for each in ids]
    assert chosen != [sampled(each, b"\x02" * 32, 0.25) for each in ids]
    assert all(sampled(each, b"\x01" * 32, 1.0) for each in ids)
    assert not any(sampled(each, b"\x01" * 32, 0.0) for each in ids)


def test_loss_of_a_challenge_is_told_by_gas_against_the_provers_share() -> None:
    """27 % of the operator's bond, at 2,500,000 gas."""
    scrutiny = Scrutiny(max_exposure_wei=1, max_demands_wei=1, min_profit_wei=5)
    assert scrutiny.loss(bond_wei=1_000_000_000, gas_price_wei=108) is not None
    assert scrutiny.loss(bond_wei=1_000_000_020, gas_price_wei=108) is None


def test_settings_of_challenger_hide_secrets_and_find_mistakes(tmp_path: Path) -> None:
    """Every problem is named; nothing secret is shown."""
    settings = validate_challenger_settings(
        MINIMAL | {"challenge": {"witness_rpc_url": "https://node.example/secret", "sample": 0.5}}
    )
    shown = str(dump_challenger_settings(settings))
    assert "secret" not in shown and settings.challenge.scrutiny.share == 0.5
    assert settings.folder == Path("/tmp/challenges")
    bad = MINIMAL | {"challenge": {"sample": 2, "trace_servers": {str(SOMEBODY): "ftp://x"}, "smaple": 1}}
    with pytest.raises(ConfigurationError) as caught:
        validate_challenger_settings(bad)
    for word in ("challenge.sample", "smaple: unknown key", "expected an http(s) URL"):
        assert word in str(caught.value)


def test_template_of_challenger_settings_can_be_loaded(tmp_path: Path) -> None:
    """What `sworn challenge --init` writes is what it reads; paths count from the file."""
    file = tmp_path / "challenger.toml"
    file.write_text(template())
    settings = load_challenger_settings([file])
    assert settings.keys.transaction_key == tmp_path / "keys" / "challenger.json"
    assert settings.challenge == validate_challenger_settings(MINIMAL).challenge
