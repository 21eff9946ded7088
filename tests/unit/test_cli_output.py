from __future__ import annotations

import json
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sworn.cli.output import array, ether, moment, plain, short, shown
from sworn.cli.values import parse_amount
from sworn.types import Profile, Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Something with a secret."""

    name: str
    secret: bytes = field(default=b"", repr=False)


def test_plain_values_of_every_kind_are_json() -> None:
    """Whatever commands hand over becomes JSON."""
    value = {
        "bytes": b"\x01",
        "enum": Profile.SIGNED,
        "array": np.array([[1.5]], dtype=np.float32),
        "scalar": np.int64(3),
        "nested": [(Status.FINALIZED, None, True)],
        "record": Sample(name="n", secret=b"hidden"),
    }
    assert json.loads(json.dumps(plain(value))) == {
        "bytes": "0x01",
        "enum": "signed",
        "array": [[1.5]],
        "scalar": 3,
        "nested": [["finalized", None, True]],
        "record": {"name": "n"},
    }


@pytest.mark.parametrize(
    ("wei", "text"),
    [(0, "0 ETH"), (10**18, "1 ETH"), (1234 * 10**18, "1,234 ETH"), (5 * 10**14, "0.0005 ETH"), (-(10**18), "-1 ETH")],
)
def test_ether_of_common_amounts_reads_well(wei: int, text: str) -> None:
    """Amounts are shown in ether with the digits that they have."""
    assert ether(wei) == text


@given(st.integers(min_value=0, max_value=2**100))
def test_ether_of_any_amount_is_exact(wei: int) -> None:
    """What is shown can be typed in again and means the same."""
    assert parse_amount(ether(wei).replace(",", "")) == wei


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("fee_wei", 10**18, "1 ETH"),
        ("final", True, "yes"),
        ("deadline", 0, "1970-01-01 00:00:00 UTC"),
        ("not_after", 2**40 - 1, "without end"),
        ("window_s", 60, "60 s"),
        ("uris", [], "none"),
        ("round", 2, "2"),
    ],
)
def test_shown_values_by_name_have_their_unit(name: str, value: object, text: str) -> None:
    """The name of a fact tells how its value is written."""
    assert shown(name, value) == text


def test_moment_beyond_the_calendar_has_words() -> None:
    """No timestamp that a contract can hold breaks the display."""
    assert moment(2**256 - 1) == "without end"


def test_array_of_float32_shows_its_own_digits() -> None:
    """A float32 is not shown with the digits of the float64 nearest to it."""
    assert array(np.array([0.1, 52.0], dtype=np.float32)) == "[0.1, 52]  float32[2]"


def test_short_form_of_long_hashes_keeps_both_ends() -> None:
    """Hashes stay recognisable."""
    assert short(bytes(range(32))) == "0x00010203…1e1f"
    assert short("0x12") == "0x12"
