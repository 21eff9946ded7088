"""The blocking modules are what their async sources say."""

from __future__ import annotations

import pytest

import generate_sync


@pytest.mark.parametrize(("source", "twin"), generate_sync.TWINS)
def test_twin_of_async_source_is_up_to_date(source: str, twin: str) -> None:
    """Regenerating changes nothing."""
    text = (generate_sync.PACKAGE / source).read_text(encoding="utf-8")
    assert (generate_sync.PACKAGE / twin).read_text(encoding="utf-8") == generate_sync.twin_of(text, path=source)


@pytest.mark.parametrize(
    ("name", "twin"),
    [
        ("AsyncClient", "Client"),
        ("async_deploy", "deploy"),
        ("_async_thing", "_thing"),
        ("asynchronous", "asynchronous"),
        ("Asyncio", "Asyncio"),
        ("__aiter__", "__iter__"),
    ],
)
def test_exchanged_name_follows_the_rule(name: str, twin: str) -> None:
    """Only names that mark a colour change."""
    assert generate_sync.exchanged(name) == twin
