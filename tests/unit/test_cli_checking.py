from __future__ import annotations

import io
import json
from dataclasses import replace
from functools import cache
from math import inf

import pytest
from rich.console import Console, RenderableType
from tests.support.programs import program, tensor, value
from tests.support.programs import step as made_step

import sworn
from sworn.cli.checking_progress import watched
from sworn.cli.checking_slack import slack_document, slack_text
from sworn.cli.checking_steps import step_facts, step_notes, step_table
from sworn.model.footprint import footprint
from sworn.model.program import Contract, Reduction
from sworn.testing import gallery
from sworn.verification import CompiledModel
from sworn.verification.slack import Choice, MarginSlack, OutputSlack, Slack

WIDTH = 100


@cache
def model(name: str) -> CompiledModel:
    """A model of the gallery in profile ``exact``, compiled once."""
    return sworn.compile_model(gallery.load(name))


def shown(renderable: RenderableType) -> str:
    """What a terminal of 100 columns shows."""
    console = Console(file=io.StringIO(), width=WIDTH)
    console.print(renderable)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("name", gallery.names())
def test_table_of_steps_in_a_hundred_columns_cuts_no_number(name: str) -> None:
    """Every step stands on one line with its rule, tensor and figures in full; only where it comes from is cut."""
    steps = [step_facts(model(name), number) for number in range(len(model(name).program.steps))]
    lines = shown(step_table(steps)).splitlines()
    assert len(lines) <= 1 + len(steps)
    for step, text in zip(steps, lines[1:61], strict=False):
        kind = (step["function"] or step["rule"]).name.lower().replace("_", " ")
        figures = [str(step["number"]), kind, step["tensor"].replace(", ", ","), f"{step['proof_gas']:,}"]
        assert all(figure in text for figure in figures)


def test_table_of_steps_with_very_many_says_how_many_are_missing() -> None:
    """A table is cut at sixty rows, and says so."""
    steps = [step_facts(model("lstm"), number) for number in range(len(model("lstm").program.steps))]
    assert f"{len(steps) - 60} more" in shown(step_table(steps))


def test_notes_of_a_table_name_the_dearest_proof() -> None:
    """The figure that decides whether a dispute is affordable is said in words."""
    steps = [step_facts(model("cnn"), number) for number in range(len(model("cnn").program.steps))]
    text = shown(step_notes(steps))
    assert f"{max(step['proof_gas'] for step in steps):,}" in text and "Dim steps" in text


@pytest.mark.parametrize("name", gallery.names())
def test_gas_of_every_proof_is_at_least_what_its_bytes_cost(name: str) -> None:
    """EIP-7623: 21,000 and 40 for each byte that is not zero, whatever execution takes."""
    program = model(name).program
    for number in range(len(program.steps)):
        found = footprint(program, number)
        assert found.gas >= 21_000 + 40 * found.proof_bytes


def test_gas_of_proofs_grows_with_terms_once_execution_outweighs_bytes() -> None:
    """A sum without a right operand has four bytes per term, so that its arithmetic costs more than its calldata."""
    body = Contract(left=value(0, (8192,)), reductions=(Reduction(extent=8192, left_stride=1),))
    found = footprint(program([tensor((4, 8192))], [made_step(body, (4,))]), 0)
    assert found.gas > 21_000 + 40 * found.proof_bytes
    assert found.gas > 21_000 + 16 * found.proof_bytes + 190 * 8192


def test_watched_model_tells_of_every_tensor_and_changes_nothing() -> None:
    """A trace and an audit count up to the last tensor, and give what they give unwatched."""
    inputs, told = gallery.rows("cnn")[0].inputs, list[tuple[int, int]]()
    plain = model("cnn")
    total = plain.subject.value_count
    observed = watched(plain, lambda *pair: told.append(pair))
    trace = observed.trace(inputs)
    assert trace.root == plain.trace(inputs).root
    assert told[-1] == (total, total) and [done for done, _ in told] == sorted(done for done, _ in told)
    told.clear()
    assert observed.audit(trace) == []
    assert told[-1] == (total, total) and {whole for _, whole in told} == {total}


def slack(margin: MarginSlack | None, *, estimate: float = 2e-3, choices: tuple[Choice, ...] = ()) -> Slack:
    """Slack of one output with some margin."""
    output = OutputSlack(
        name="scores",
        elements=10,
        examined=10,
        index=3,
        reached=estimate / 2,
        estimate=estimate,
        scale=8.0,
        margin=margin,
    )
    return Slack(outputs=(output,), choices=choices, free_elements=1234, runs=9, checked=3, is_audited=True)


def lead(margin: float, reached: float = 1e-3, safe: float = 2e-3) -> MarginSlack:
    """The lead of element 3 over element 5."""
    return MarginSlack(top=3, rival=5, margin=margin, reached=reached, safe=safe)


@pytest.mark.parametrize(
    ("margin", "verdict", "meaning"),
    [(1.0, "safe", "this one holds"), (5e-4, "lost", "says nothing"), (1.5e-3, "undecided", "is open")],
)
def test_slack_in_words_tells_whether_the_answer_holds(margin: float, verdict: str, meaning: str) -> None:
    """A lead is safe above the estimate, lost below what was reached, open between."""
    text = " ".join(shown(slack_text(slack(lead(margin)))).split())
    assert verdict in text and meaning in text
    assert "scores[3]" in text and "scores[5]" in text and "1,234" in text


def test_slack_in_words_names_choices_that_may_turn() -> None:
    """What the estimates leave out is said."""
    choices = tuple(Choice(step=k, name=f"ArgMax {k}", elements=2) for k in range(7))
    text = " ".join(shown(slack_text(slack(None, choices=choices))).split())
    assert "14 choices" in text and "ArgMax 4 and 2 more" in text


def test_slack_in_words_of_an_output_that_cannot_move_says_so() -> None:
    """No room is no sentence about pushing."""
    assert "cannot be moved" in shown(slack_text(slack(None, estimate=0.0)))


def test_slack_in_words_tells_a_sample_from_an_audit() -> None:
    """Nobody is told that every element was looked at when some were."""
    texts = [shown(slack_text(replace(slack(None), is_audited=whole))) for whole in (True, False)]
    assert "an audit finds nothing wrong" in " ".join(texts[0].split())
    assert "sample" in texts[1] and "audit" not in texts[1]


def test_slack_as_json_holds_the_verdicts_too() -> None:
    """Machines need not compare floats."""
    (output,) = slack_document(slack(lead(1.0)))["outputs"]
    assert output["margin"]["is_safe"] is True and output["margin"]["is_lost"] is False
    assert output["relative"] == pytest.approx(1e-3 / 8)


def test_slack_without_a_bound_is_null_in_json_and_a_word_for_people() -> None:
    """JSON knows no infinity."""
    endless = replace(slack(lead(1.0, safe=inf)).outputs[0], estimate=inf)
    found = replace(slack(None), outputs=(endless,))
    document = json.loads(json.dumps(slack_document(found), allow_nan=False))
    assert document["outputs"][0]["estimate"] is None and document["outputs"][0]["margin"]["safe"] is None
    assert "anything" in shown(slack_text(found))


def test_slack_of_a_model_without_float_outputs_says_why_it_is_empty() -> None:
    """A model that gives labels only has nothing to push but its choices."""
    assert "No output is a float" in shown(slack_text(replace(slack(None), outputs=())))


@pytest.mark.parametrize(
    ("margin", "safe", "lost"),
    [
        (MarginSlack(top=3, rival=5, margin=0.0, reached=0.0, safe=0.0), True, False),
        (MarginSlack(top=3, rival=5, margin=1.0, reached=1.0, safe=1.5), False, False),
        (MarginSlack(top=5, rival=3, margin=1.0, reached=1.0, safe=1.5), False, True),
        (MarginSlack(top=3, rival=5, margin=1.0, reached=1.25, safe=1.5), False, True),
        (MarginSlack(top=3, rival=5, margin=1.0, reached=0.5, safe=1.0), False, False),
    ],
)
def test_verdict_on_a_lead_at_the_edge_goes_by_which_element_comes_first(
    margin: MarginSlack, safe: bool, lost: bool
) -> None:
    """Of equal elements the first is the greatest, and what cannot move at all is safe."""
    assert (margin.is_safe, margin.is_lost) == (safe, lost)
