from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.unit.test_challenger_checks import checker_of, claim_with

from sworn.codec.tensors import encode_payload
from sworn.codec.trees import payload_root
from sworn.engine.identification import identify
from sworn.engine.protocol import ModelSource, RunLimits
from sworn.errors import ArtifactCorrupt
from sworn.types import Profile
from sworn.watcher.challenger.checking import Verdict
from sworn.watcher.challenger.models import ModelShelf
from sworn.watcher.challenger.shapes import LearntShapes
from sworn.watcher.published import PublishedModel

FITTING = encode_payload([np.zeros((1, 4), dtype=np.float32)])
LONGER = encode_payload([np.zeros((2, 4), dtype=np.float32)])


def open_model() -> bytes:
    """A model whose file does not say how many rows there are."""
    weight = numpy_helper.from_array(np.ones((4, 2), dtype=np.float32), "w")
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", [x], [y], [weight])
    made: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(made.SerializeToString())


def shelf_in(folder: Path) -> ModelShelf:
    """A shelf with that file, as after a start."""
    given: Any = SimpleNamespace(
        artifacts=SimpleNamespace(get=lambda hash_, uris: open_model()),
        engine=SimpleNamespace(identify=lambda source, limits: identify(source)),
    )
    return ModelShelf(
        records=given,
        artifacts=given.artifacts,
        engine=given.engine,
        compile_model=given,
        limits=RunLimits(),
        learnt=LearntShapes(folder),
    )


def published() -> PublishedModel:
    """The model for one row, as somebody registered it."""
    found = identify(ModelSource(artifact=open_model(), profile=Profile.EXACT, input_shapes={"x": (1, 4)}))
    return PublishedModel(model_id=found.model_id, model=found.model, uris=())


def test_answer_to_an_input_of_another_shape_is_judged_once_the_shapes_are_known(tmp_path: Path) -> None:
    """Nobody can answer it, so whoever does lies; across restarts, as a dispute is longer than a process."""
    model, claim = published(), claim_with(LONGER, root=payload_root(LONGER))
    nothing: Any = None
    checker = replace(checker_of(tmp_path), shelf=shelf_in(tmp_path))
    with pytest.raises(ArtifactCorrupt, match="input_shapes"):
        checker.check(claim, model, nothing)
    assert shelf_in(tmp_path).identified(model, FITTING).model_id == model.model_id
    restarted = replace(checker_of(tmp_path), shelf=shelf_in(tmp_path))
    found = restarted.check(claim, model, nothing)
    assert found.verdict is Verdict.FALSE and "none that the model takes" in found.reason


@pytest.mark.parametrize("text", ["", "[]", "{", '{"x": 1}', '{"x": [2, 4]}', '{"z": [1]}', '{"x": ["a"]}'])
def test_shapes_in_a_damaged_file_mislead_nobody(tmp_path: Path, text: str) -> None:
    """The id is computed from them anew, and then from the input itself."""
    model = published()
    (tmp_path / f"{model.model_id.hex()}.shapes").write_text(text)
    assert shelf_in(tmp_path).identified(model, FITTING).model_id == model.model_id
    assert LearntShapes(tmp_path).find(model.model_id) == {"x": (1, 4)}
