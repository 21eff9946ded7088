from __future__ import annotations

from collections import Counter

import pytest
from tests.support.referee_corpus import Entry, outcome_of, read_corpus
from tests.support.referee_fuzz import kind_of, put_before_both

from sworn.model.program import Function, Rule


@pytest.fixture(scope="module")
def corpus() -> list[Entry]:
    """All committed claims."""
    return read_corpus()


def test_claims_of_the_corpus_are_judged_as_committed_by_both_referees(corpus: list[Entry]) -> None:
    """Chain and Python agree on every one, and say what they said when it was written down."""
    differing = [entry for entry in corpus if outcome_of(put_before_both(entry.case)) != entry.outcome]
    assert not differing


def test_corpus_by_kind_holds_every_rule_and_function_convicted_and_acquitted(corpus: list[Entry]) -> None:
    """No rule and no function is missing, in neither profile."""
    found = Counter((kind_of(entry.case), entry.case.bounded, entry.outcome) for entry in corpus)
    kinds = {rule.name for rule in Rule} - {"CONTRACT", "POINTWISE"} | {function.name for function in Function}
    kinds |= {"CONTRACT FLOAT32", "CONTRACT INT32"}
    wanted = {(kind, way, outcome) for kind in kinds for way in (False, True) for outcome in ("convicted", "acquitted")}
    assert wanted - found.keys() == set()


def test_corpus_entries_written_again_are_the_same_lines(corpus: list[Entry]) -> None:
    """An entry is all that a claim is."""
    lines = [entry.to_json() for entry in corpus]
    assert [Entry.from_json(line).to_json() for line in lines] == lines
