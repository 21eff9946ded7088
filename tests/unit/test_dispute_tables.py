from __future__ import annotations

import pytest
from rich.console import Console, RenderableType

from sworn.cli.dispute_tables import shown_list, shown_preview, span
from sworn.cli.disputing import Parts
from sworn.client import BondPreview, DisputeRecord
from sworn.client.dispute_diagnosis import target_words
from sworn.types import Address, DisputeStatus, Part, ResultId, Target

OPERATOR = Address("0x70997970C51812dc3A010C7d01b50e0d17dc79C8")


def text_of(shown: RenderableType) -> str:
    """What a wide terminal shows."""
    console = Console(width=200)
    with console.capture() as capture:
        console.print(shown)
    return capture.get()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7_199, "120 min"),
        (7_200, "2.0 h"),
        (200_000, "2.3 d"),
        (-90, "90 s"),
    ],
)
def test_span_of_seconds_reads_in_the_unit_people_think_in(seconds: int, text: str) -> None:
    """Seconds, minutes, hours and days; the sign is told elsewhere."""
    assert span(seconds) == text


@pytest.mark.parametrize("part", list(Part), ids=lambda part: part.name.lower())
def test_demand_of_every_part_is_told_in_words(part: Part) -> None:
    """Each kind of part has words of its own, with the numbers that tell it from its neighbours; so has the command."""
    words = {target_words(Target(part=part, value=1, index=index)) for index in (0, 1)}
    assert len(words) == (1 if part is Part.INTERFACE else 2)
    assert all(each not in words for other in Part if other is not part for each in [target_words(Target(part=other))])
    assert part.name in Parts.__members__


def test_preview_in_sentences_names_what_can_be_lost() -> None:
    """Nobody posts a bond without having read that it can go."""
    preview = BondPreview(
        bond_wei=10**15,
        smallest_wei=10**15,
        largest_wei=None,
        until=1_700_000_000,
        slash_wei=10**17,
        reward_wei=3 * 10**16,
        risk_wei=10**15,
        nodes_price_wei=1,
        chunks_price_wei=2,
    )
    told = text_of(shown_preview(preview))
    for words in ("0.001 ETH", "the whole bond is lost", "0.03 ETH at most", "0.1 ETH", "2023-11-14"):
        assert words in told


def test_list_of_disputes_names_each_result_in_full() -> None:
    """The id can be copied into the next command."""
    record = DisputeRecord(
        result_id=ResultId(bytes(range(32))),
        request_id=None,
        operator=OPERATOR,
        opener=OPERATOR,
        bond_wei=1,
        status=DisputeStatus.OPEN,
        opened_at=1_700_000_000,
        closes_at=1_700_000_600,
        ends_at=1_700_009_000,
        block_number=1,
    )
    assert "0x" + bytes(range(32)).hex() in text_of(shown_list([record]))
    assert "no disputes" in text_of(shown_list([]))
