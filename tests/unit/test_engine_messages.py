"""Messages between an engine and its workers, limits and settings."""

from __future__ import annotations

import io
import json
import math
import struct

import numpy as np
import pytest

from sworn.engine import RunLimits
from sworn.engine.onnx_engine import OnnxEngine
from sworn.engine.worker import MessageTooLarge, pack_tensor, read_message, unpack_tensor, write_message
from sworn.errors import ConfigurationError


def raw(header: object) -> io.BytesIO:
    """A stream with one header and no blobs."""
    encoded = json.dumps(header).encode()
    return io.BytesIO(struct.pack("<I", len(encoded)) + encoded)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "uint64", "bool"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 4), (2, 3)])
def test_message_with_a_tensor_comes_back_as_it_was(dtype: str, shape: tuple[int, ...]) -> None:
    """Scalars and empty tensors keep their shape through the pipe."""
    array = np.ones(shape, dtype=dtype)
    entry, blob = pack_tensor("x", array)
    stream = io.BytesIO()
    write_message(stream, {"tensors": [entry]}, [blob])
    stream.seek(0)
    message = read_message(stream)
    name, back = unpack_tensor(message.header["tensors"][0], message.blobs[0])
    assert name == "x" and back.dtype == array.dtype and back.shape == shape and np.array_equal(back, array)


def test_message_larger_than_allowed_is_refused_before_it_is_read() -> None:
    """Sizes are added up before any blob is allocated."""
    with pytest.raises(MessageTooLarge):
        read_message(raw({"blobs": [1 << 60]}), max_bytes=1 << 20)


def test_message_with_an_endless_header_is_refused() -> None:
    """The length of the header has a limit of its own."""
    with pytest.raises(MessageTooLarge):
        read_message(io.BytesIO(struct.pack("<I", (1 << 32) - 1)))


@pytest.mark.parametrize("header", [[], {"blobs": [-1]}, {"blobs": ["1"]}, {"blobs": 3}])
def test_message_with_a_wrong_header_is_refused(header: object) -> None:
    """Neither lists nor negative sizes get through."""
    with pytest.raises(ValueError):
        read_message(raw(header))


def test_message_that_is_cut_short_ends_the_stream() -> None:
    """A writer that died in the middle reads as the end."""
    with pytest.raises(EOFError):
        read_message(io.BytesIO(b"\x10\x00\x00\x00{"))


@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf])
@pytest.mark.parametrize("name", ["timeout_s", "memory_bytes", "load_timeout_s"])
def test_limits_that_do_not_limit_are_refused(name: str, value: float) -> None:
    """Nought, negative numbers, NaN and infinity are no limits."""
    with pytest.raises(ConfigurationError, match=name):
        RunLimits(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "settings",
    [
        {"workers": 0},
        {"threads": -1},
        {"threads": True},
        {"max_sessions": 1.5},
        {"max_input_elements": 0},
        {"provider": "CpuExecutionProvider"},
    ],
)
def test_engine_with_wrong_settings_is_refused(settings: dict[str, object]) -> None:
    """Thread counts and provider names are checked before anything starts."""
    with pytest.raises(ConfigurationError, match=next(iter(settings))):
        OnnxEngine(**settings)  # type: ignore[arg-type]


def test_engine_that_never_ran_has_started_no_process() -> None:
    """Workers start with the first run."""
    engine = OnnxEngine(workers=4)
    assert engine.worker_pids == ()
    engine.close()
