"""The demo's second opinion: somebody who trusts nobody runs the answer again, bit by bit."""

from __future__ import annotations

import sworn
from sworn.codec.tensors import decode_tensors, encode_tensors
from sworn.testing.demo_stage import Stage
from sworn.testing.models import load_model
from sworn.types import Profile, RequestId


def recomputing(stage: Stage) -> None:
    """A stranger compiles the model, runs it on the input that is on chain, and audits every element."""
    summary = "The model has profile exact: the same bits on every machine. A stranger runs the answer again."
    with stage.chapter("Anyone can run it again", summary):
        request_id = RequestId(stage.recall("request_id"))
        proposal, request = stage.proposal_of(request_id)
        model = sworn.compile_model(load_model("diabetes_progression"))
        stage.check(model.model_id == request.model_id, "the file compiles to the model that was asked")
        stage.check(model.model.profile is Profile.EXACT, "the model promises bits")
        stage.fact("model_id", model.model_id)
        stage.fact("profile", model.model.profile, text=f"exact: {model.model.profile.promise}")
        stage.fact("steps", len(model.program.steps))
        inputs = decode_tensors(stage.input_of(request_id), model.schema.inputs)
        outputs = model.run(inputs)
        stage.check(
            encode_tensors(outputs, model.schema.outputs) == proposal["output"],
            "every bit of the answer on chain is what the stranger's machine computes",
        )
        stage.fact("recomputed", outputs["progression"])
        stage.fact("bytes_on_chain", proposal["output"], text="the same, bit for bit")
        trace = model.trace(inputs)
        elements = sum(step.output.elements for step in model.program.steps)
        stage.check(model.audit(trace) == [], "no element of the run is wrong")
        stage.fact("elements_checked", elements, text=f"{elements} elements of the run, none wrong")
        stage.say(
            "So a false answer is noticed at once, and one wrong element is enough to convict whoever swore it: "
            "see the last chapter."
        )
