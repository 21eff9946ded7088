from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from sworn.cli.values import parse_amount, parse_tensors
from sworn.errors import CodecError


@pytest.mark.parametrize(
    ("text", "wei"),
    [
        ("1eth", 10**18),
        ("1.5 ETH", 15 * 10**17),
        ("0.000000000000000001ether", 1),
        ("20gwei", 20 * 10**9),
        ("1_000wei", 1000),
        ("0", 0),
    ],
)
def test_amount_with_unit_gives_exact_wei(text: str, wei: int) -> None:
    """Amounts are decimal and exact, never floats."""
    assert parse_amount(text) == wei


@pytest.mark.parametrize(
    "text", ["1", "1.5", "-1eth", "1btc", "eth", "", "1e18wei", "0.5wei", "0.1234567891gwei", "١eth"]
)
def test_amount_without_clear_meaning_is_refused(text: str) -> None:
    """A forgotten unit must not become an amount."""
    with pytest.raises(typer.BadParameter):
        parse_amount(text)


@given(st.integers(min_value=0, max_value=2**96))
def test_amount_of_any_wei_round_trips(wei: int) -> None:
    """Whatever number of wei is written comes back."""
    assert parse_amount(f"{wei}wei") == wei


def test_tensors_from_options_and_file_are_merged(tmp_path: Path) -> None:
    """Names may come from a file and from options together."""
    np.save(tmp_path / "x.npy", np.ones((1, 2), dtype=np.float32))
    (tmp_path / "rest.json").write_text(json.dumps({"z": [3]}))
    tensors = parse_tensors([f"x=@{tmp_path / 'x.npy'}", "y=[[1, 2.5]]"], tmp_path / "rest.json")
    assert tensors["x"].dtype == np.float32
    assert tensors["y"] == [[1, 2.5]]
    assert tensors["z"] == [3]


def test_tensors_from_npz_keep_their_dtypes(tmp_path: Path) -> None:
    """An .npz file gives arrays by name as they were saved."""
    np.savez(tmp_path / "all.npz", a=np.arange(3, dtype=np.int64), b=np.zeros(1, dtype=bool))
    tensors = parse_tensors([], tmp_path / "all.npz")
    assert {name: array.dtype for name, array in tensors.items()} == {"a": np.int64, "b": np.bool_}


@pytest.mark.parametrize(
    "item", ["features", "=1", "x=[1,", "x=[NaN]", "x=[Infinity]", "x=@missing.npy", "x=nan", "x=" + "[" * 100_000]
)
def test_tensors_that_cannot_be_read_are_refused(item: str) -> None:
    """Malformed inputs are typed errors."""
    with pytest.raises(CodecError):
        parse_tensors([item], None)


def test_tensors_given_twice_are_refused() -> None:
    """Two values for one name leave open which one is meant."""
    with pytest.raises(CodecError):
        parse_tensors(["x=[1]", "x=[2]"], None)


def test_tensors_without_any_are_refused() -> None:
    """A request needs inputs."""
    with pytest.raises(CodecError):
        parse_tensors([], None)


@pytest.mark.parametrize("name", ["list.json", "text.json", "bytes.json", "other.txt", "pickled.npy", "broken.npz"])
def test_tensor_files_of_other_kinds_are_refused(tmp_path: Path, name: str) -> None:
    """Files that hold no tensors by name are typed errors, and pickles are never loaded."""
    contents = {
        "list.json": b"[1]",
        "text.json": b"{",
        "bytes.json": b"\xff\xfe",
        "other.txt": b"{}",
        "broken.npz": b"PK",
    }
    file = tmp_path / name
    if name == "pickled.npy":
        np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    else:
        file.write_bytes(contents[name])
    with pytest.raises(CodecError):
        parse_tensors([f"x=@{file}"] if name.endswith(".npy") else [], None if name.endswith(".npy") else file)
