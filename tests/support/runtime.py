"""Models in stock onnxruntime: what everybody else computes."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from sworn.types import Tensors


class PlainSession:
    """A model in onnxruntime on one thread, with every optimisation, loaded once."""

    def __init__(self, artifact: bytes) -> None:
        """Loads the model."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        # Old files list their weights as inputs too, which onnxruntime remarks upon.
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(artifact, options, providers=["CPUExecutionProvider"])
        self._names = [value.name for value in self._session.get_outputs()]

    def run(self, inputs: Tensors) -> dict[str, NDArray[Any]]:
        """The outputs by name."""
        return dict(zip(self._names, map(np.asarray, self._session.run(None, dict(inputs))), strict=True))
