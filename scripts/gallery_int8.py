"""The gallery's convolutional network in 8 bits, quantised statically by onnxruntime's own tool."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from gallery_cards import Exhibit, Rows, stable_bytes

CALIBRATION_ROWS = 200


class _Rows(CalibrationDataReader):  # type: ignore[misc]
    """Feeds rows to the calibration, one at a time."""

    def __init__(self, name: str, rows: Rows) -> None:
        self._feeds: Iterator[dict[str, Rows]] = iter({name: rows[i : i + 1]} for i in range(len(rows)))

    def get_next(self) -> dict[str, Rows] | None:
        return next(self._feeds, None)


def int8_exhibits(source: Exhibit, calibration: Rows) -> list[Exhibit]:
    """``source`` as a graph of Quantize and Dequantize pairs, and as one of quantised operators.

    ``calibration`` holds rows that ``source`` was trained on.
    """
    pairs = quantised(
        source,
        calibration,
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
    )
    # Seven-bit weights: processors without VNNI add two products of unsigned and signed bytes in 16 bits, saturating.
    operators = quantised(
        source,
        calibration,
        quant_format=QuantFormat.QOperator,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        reduce_range=True,
        op_types_to_quantize=["Conv", "Relu", "MaxPool"],
    )
    return [
        derived(source, "cnn_int8", pairs, "int8 activations, int8 weights with a scale per channel"),
        derived(source, "cnn_int8_operators", operators, "uint8 activations, 7-bit weights; the Gemm stays in float32"),
    ]


def quantised(source: Exhibit, calibration: Rows, **settings: Any) -> onnx.ModelProto:
    """The model with constants folded, calibrated by the extremes of 200 rows, and quantised."""
    name = source.model.graph.input[0].name
    with tempfile.TemporaryDirectory() as folder:
        plain, ready, result = (Path(folder) / f"{stage}.onnx" for stage in ("plain", "ready", "result"))
        plain.write_bytes(stable_bytes(source))
        quant_pre_process(str(plain), str(ready), skip_symbolic_shape=True)
        reader = _Rows(name, calibration[:CALIBRATION_ROWS])
        quantize_static(str(ready), str(result), reader, calibrate_method=CalibrationMethod.MinMax, **settings)
        return onnx.load(str(result))


def derived(source: Exhibit, name: str, model: onnx.ModelProto, how: str) -> Exhibit:
    """A quantised model's exhibit, compared with the network in float32 that it was made from."""
    notes = {**source.notes, "estimator": f"{source.notes['estimator']}; {how}"}
    return replace(source, name=name, model=model, framework="the same network in float32", notes=notes)
