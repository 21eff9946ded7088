from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from eth_account import Account
from eth_typing import Hash32
from hypothesis import given, settings
from hypothesis import strategies as st

from sworn.chain import keystore
from sworn.chain.signer import LocalSigner
from sworn.errors import SignerError

KEY = bytes.fromhex("11" * 32)
HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
#: scrypt rounds that make a test fast and a key file worthless.
FAST = 2


@pytest.fixture
def signer() -> LocalSigner:
    """A signer with a known key."""
    return LocalSigner.from_key(KEY)


def test_signatures_are_the_same_with_and_without_the_faster_library(
    signer: LocalSigner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Secrets are made from signatures: another machine that signed otherwise could not open its own commitments."""
    digests = [bytes([number]) * 32 for number in range(1, 9)]
    monkeypatch.setitem(sys.modules, "coincurve", None)
    plain = LocalSigner.from_key(KEY)
    account = Account.from_key(KEY)
    expected = [bytes(account.unsafe_sign_hash(Hash32(digest)).signature) for digest in digests]
    assert [signer.sign_digest(digest) for digest in digests] == expected
    assert [plain.sign_digest(digest) for digest in digests] == expected


@settings(max_examples=20, deadline=None)
@given(digest=st.binary(min_size=32, max_size=32))
def test_signature_of_any_digest_is_canonical_and_recoverable(digest: bytes) -> None:
    """Every signature has 65 bytes, a low s, v 27 or 28, and recovers to the signer."""
    signer = LocalSigner.from_key(KEY)
    signature = signer.sign_digest(digest)
    assert len(signature) == 65
    assert int.from_bytes(signature[32:64], "big") <= HALF_ORDER
    assert signature[64] in (27, 28)
    assert Account._recover_hash(digest, signature=signature) == signer.address


def test_signature_repeated_is_identical(signer: LocalSigner) -> None:
    """Signing one digest twice gives the same bytes, so that a restart never shows a second signature."""
    assert signer.sign_digest(b"\x01" * 32) == signer.sign_digest(b"\x01" * 32)


def test_signer_repr_hides_the_key(signer: LocalSigner) -> None:
    """Neither repr nor str of a signer contains its key."""
    assert KEY.hex() not in repr(signer) + str(signer)
    assert signer.address in repr(signer)


@pytest.mark.parametrize("digest", [b"", b"\x01" * 31, b"\x01" * 33])
def test_signer_given_another_length_refuses(signer: LocalSigner, digest: bytes) -> None:
    """Only 32-byte digests are signed."""
    with pytest.raises(SignerError):
        signer.sign_digest(digest)


@pytest.mark.parametrize("key", ["", "0x12", "zz" * 32, b"\x00" * 32, b"\x01" * 31])
def test_signer_given_no_key_raises_without_quoting_it(key: bytes | str) -> None:
    """A malformed key is a typed error whose text does not repeat it."""
    with pytest.raises(SignerError) as caught:
        LocalSigner.from_key(key)
    assert not key or str(key) not in str(caught.value)
    assert caught.value.__cause__ is None


def test_signer_given_malformed_transaction_raises(signer: LocalSigner) -> None:
    """Fields that make no transaction are a typed error."""
    with pytest.raises(SignerError):
        signer.sign_transaction({"type": 2, "nonce": 0})


def test_keystore_round_trip_unlocks_the_same_key(tmp_path: Path) -> None:
    """An imported key unlocks with its password, from a private file in a private directory."""
    directory = tmp_path / "keys"
    file = keystore.import_key(directory, KEY, "secret", scrypt_rounds=FAST)
    assert keystore.unlock(file.path, "secret").address == file.address == LocalSigner.from_key(KEY).address
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert directory.stat().st_mode & 0o777 == 0o700
    assert keystore.list_keys(directory) == (file,)
    assert [path.name for path in directory.iterdir()] == [file.path.name]


def test_keystore_wrong_password_raises_signer_error(tmp_path: Path) -> None:
    """A wrong password is a typed error that does not quote it."""
    file = keystore.import_key(tmp_path, KEY, "secret", scrypt_rounds=FAST)
    with pytest.raises(SignerError) as caught:
        keystore.unlock(file.path, "guess-42")
    assert "guess-42" not in str(caught.value)


def test_keystore_same_key_twice_refused(tmp_path: Path) -> None:
    """One directory holds a key once."""
    keystore.import_key(tmp_path, KEY, "secret", scrypt_rounds=FAST)
    with pytest.raises(SignerError):
        keystore.import_key(tmp_path, KEY, "other", scrypt_rounds=FAST)


def test_keystore_empty_password_refused(tmp_path: Path) -> None:
    """An empty password protects nothing."""
    with pytest.raises(SignerError):
        keystore.import_key(tmp_path, KEY, "")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b'{"version": 4, "crypto": {}}',
        b'{"version": 3, "crypto": {}}',
        b'{"version": 3, "crypto": {"kdfparams": {"n": "x"}}}',
        b'{"version": 3, "crypto": {"kdfparams": {}}}',
        b"[" * 60_000,
        b" " * 70_000,
    ],
)
def test_keystore_malformed_file_raises_signer_error(tmp_path: Path, content: bytes) -> None:
    """Anything that is no key file is a typed error."""
    path = tmp_path / "key"
    path.write_bytes(content)
    with pytest.raises(SignerError):
        keystore.unlock(path, "secret")
    assert keystore.list_keys(tmp_path) == ()


@pytest.mark.parametrize("change", [{"n": 1 << 40}, {"p": 1_000}, {"n": -1}, {"c": 10**12}, {"dklen": 10**12}])
def test_keystore_unreasonable_cost_raises_before_deriving(tmp_path: Path, change: dict[str, int]) -> None:
    """A file that asks for terabytes of memory or years of work is refused at once."""
    file = keystore.import_key(tmp_path, KEY, "secret", scrypt_rounds=FAST)
    content = json.loads(file.path.read_text())
    content["crypto"]["kdfparams"].update(change)
    file.path.write_text(json.dumps(content))
    with pytest.raises(SignerError):
        keystore.unlock(file.path, "secret")


def test_keystore_with_foreign_address_raises(tmp_path: Path) -> None:
    """A file that states another address than its key's is refused."""
    file = keystore.import_key(tmp_path, KEY, "secret", scrypt_rounds=FAST)
    content = json.loads(file.path.read_text())
    content["address"] = "22" * 20
    file.path.write_text(json.dumps(content))
    with pytest.raises(SignerError):
        keystore.unlock(file.path, "secret")


def test_keystore_missing_file_raises_signer_error(tmp_path: Path) -> None:
    """A missing file and a missing directory are no crashes."""
    with pytest.raises(SignerError):
        keystore.unlock(tmp_path / "nothing", "secret")
    assert keystore.list_keys(tmp_path / "nowhere") == ()
