"""Input shapes of models whose files leave dimensions open: they are part of the id, but not of what the chain knows.

They are learnt from the first input that the model's id fits. Whoever answers an input of another shape lies, and is
judged by them; a search that goes on after a restart needs them again, so they are kept in files.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final

from sworn.errors import TraceError
from sworn.types import InputShapes, ModelId

#: Of files that are being written; whoever clears the folder takes them for leftovers.
_PARTIAL: Final = ".partial-"


class LearntShapes:
    """Shapes by model, across restarts. A file of them is only a hint: the id is computed again from what it says."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[ModelId, InputShapes] = {}

    def find(self, model_id: ModelId) -> InputShapes | None:
        """What has been learnt about a model."""
        known = self._known.get(model_id)
        if known is None:
            with suppress(OSError, ValueError, TypeError, AttributeError):
                stated = json.loads(self._path(model_id).read_text())
                known = {str(name): tuple(int(size) for size in shape) for name, shape in stated.items()}
                self._known[model_id] = known
        return known

    def learn(self, model_id: ModelId, shapes: InputShapes) -> None:
        """Stores shapes under which a model has its id. Raises `TraceError`."""
        if shapes and self.find(model_id) != shapes:
            self._write(self._path(model_id), json.dumps({name: list(shape) for name, shape in shapes.items()}))
            self._known[model_id] = shapes

    def _path(self, model_id: ModelId) -> Path:
        return self._folder / f"{model_id.hex()}.shapes"

    def _write(self, path: Path, text: str) -> None:
        try:
            with NamedTemporaryFile("w", dir=self._folder, prefix=_PARTIAL, delete=False) as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(file.name).replace(path)
        except OSError as error:
            raise TraceError(f"there is no place for a model's input shapes: {error}") from error
