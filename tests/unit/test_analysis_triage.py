from __future__ import annotations

import re

from analysis import EXCLUDED, HARNESSES, PROOFS, Answer, complaints, found, key_of, read_triage
from solidity import ROOT, contract_sources, declarations

_SUBJECT = re.compile(r"\b([A-Z]\w+)\.\w+")


def finding(description: str, check: str = "timestamp") -> dict[str, str]:
    """One entry of slither's report."""
    return {"check": check, "description": description}


def test_triage_by_detector_answers_everything() -> None:
    """Every detector that finds something has its answer, and none is there twice."""
    answers = read_triage()
    assert answers
    assert not [each.detector for each in answers if not each.answer.strip() or not each.findings]
    assert len({each.detector for each in answers}) == len(answers)
    assert not {each.detector for each in answers} & EXCLUDED.keys()


def test_triage_by_subject_names_contracts_that_exist() -> None:
    """An answer about a contract that is gone goes too."""
    known = {declared.name for path in contract_sources() for declared in declarations(path)}
    subjects = {name for each in read_triage() for key in each.findings for name in _SUBJECT.findall(key)[:1]}
    assert subjects <= known


def test_finding_in_other_lines_stays_answered() -> None:
    """What is answered is what was found, not where."""
    here = finding("Game.join(uint256) (contracts/Game.sol#10-20) uses timestamp for comparisons\n\t- x (Game.sol#12)")
    moved = finding("Game.join(uint256) (contracts/Game.sol#40-50) uses timestamp for comparisons\n\t- y (Game.sol#45)")
    assert key_of(here) == key_of(moved) == "Game.join(uint256) uses timestamp for comparisons"


def test_finding_without_answer_is_a_complaint() -> None:
    """A new one, one more of the same, and one that nobody wrote an answer to."""
    findings = found([finding("A.f() (A.sol#1) is late"), finding("A.f() (A.sol#2) is late"), finding("B.g() is late")])
    answer = Answer(detector="timestamp", answer="Minutes count.", findings=("A.f() is late",))

    assert complaints(findings, [answer]) == ["timestamp: new: A.f() is late", "timestamp: new: B.g() is late"]
    silent = Answer(detector="timestamp", answer=" ", findings=tuple(findings["timestamp"]))
    assert complaints(findings, [silent]) == ["timestamp: has no answer"]
    whole = Answer(detector="timestamp", answer="Minutes count.", findings=tuple(findings["timestamp"]))
    assert not complaints(findings, [whole])


def test_answer_to_nothing_is_a_complaint() -> None:
    """What is not found any more needs no answer."""
    answer = Answer(detector="timestamp", answer="Minutes count.", findings=("A.f() is late",))
    assert complaints({}, [answer]) == ["timestamp: no longer found: A.f() is late"]


def test_every_harness_with_checks_is_proven() -> None:
    """No proof lies beside the others and is never run."""
    harnesses = {path.stem for path in (ROOT / HARNESSES).glob("*.sol") if "function check_" in path.read_text("utf-8")}
    assert harnesses == PROOFS.keys()
