"""Hostile .onnx files, and a child process that compiles them with little memory and time.

Run as ``python -m tests.support.hostile --seed N --count N``, it damages good models at random, compiles what comes out
and prints a report as JSON; with ``--cases`` it compiles the files that are built by hand. A crash, a hang or an error
that is no `SwornError` ends it with another exit status, and its last words on standard error name the file.
"""

from __future__ import annotations

import argparse
import json
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import onnx
from google.protobuf.descriptor import FieldDescriptor  # type: ignore[import-untyped]
from google.protobuf.message import Message  # type: ignore[import-untyped]
from onnx import TensorProto, helper, numpy_helper
from tests.support import graphs
from tests.support.hostile_cases import CASES

from sworn.engine.exact import execute
from sworn.errors import SwornError
from sworn.model.compiler import lower
from sworn.model.validation import validate

FLOAT = TensorProto.FLOAT
#: What one file may take beside what the process has before: memory, and seconds of work until the process is ended.
MEMORY_BYTES, LONGEST_S = 1 << 30, 15
#: Numbers that programs get wrong.
EDGES = (0, 1, -1, 2, 7, 127, 128, 255, 2**15, 2**31 - 1, 2**31, 2**32, 2**40, 2**62, 2**63 - 1, -(2**31), -(2**63))
_GALLERY = Path(__file__).resolve().parents[2] / "sdk" / "sworn" / "testing" / "gallery_models"


def evaluate(program: Any, weights: Any, inputs: Any) -> list[Any]:
    """Constants by the exact executor."""
    values = execute(program, weights, inputs, keep=True, include_virtual=True)
    return [values[number] for number in range(len(values))]


def compiled(model: bytes) -> str:
    """What becomes of a file: ``compiled``, or the name of the typed error; other errors pass."""
    try:
        validate(lower(model, evaluate=evaluate).program)
    except SwornError as error:
        return type(error).__name__
    return "compiled"


def confined(models: Iterator[tuple[str, bytes]]) -> dict[str, Any]:
    """Compiles named files with a limit on memory and time, and reports; must run in a process of its own."""
    compiled(graphs.unary("Relu"))
    taken = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY_BYTES, taken + MEMORY_BYTES))
    outcomes, slowest = dict[str, str](), 0.0
    for name, model in models:
        sys.stderr.write(f"{name}\n")
        # Nothing handles the signal: it ends the process. Other processes' work does not count.
        signal.setitimer(signal.ITIMER_PROF, LONGEST_S)
        start = time.process_time()
        outcomes[name] = compiled(model)
        slowest = max(slowest, time.process_time() - start)
    signal.setitimer(signal.ITIMER_PROF, 0)
    # Not `ru_maxrss`: what the process that started this one held at the fork counts in it.
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines())
    peak_kib = int(status["VmHWM"].split()[0])
    report: dict[str, Any] = {"files": len(outcomes), "by_outcome": dict(Counter(outcomes.values()))}
    report |= {"slowest_s": round(slowest, 2), "peak_mib": peak_kib >> 10}
    return report | {"compiled": sorted(name for name, outcome in outcomes.items() if outcome == "compiled")}


def seeds() -> list[bytes]:
    """Good models of many operators, small ones first."""
    value = np.ones((1, 4, 6, 6), np.float32)
    kinds: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
        ("Conv", {"w": np.ones((2, 4, 3, 3), np.float32)}, {"pads": [1, 1, 1, 1], "dilations": [1, 2]}),
        ("ConvTranspose", {"w": np.ones((4, 2, 2, 2), np.float32)}, {"strides": [2, 2], "output_padding": [1, 0]}),
        ("MaxPool", {}, {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}),
        ("AveragePool", {}, {"kernel_shape": [2, 2], "pads": [1, 0, 1, 0], "count_include_pad": 1}),
        ("Reshape", {"s": np.array([4, -1])}, {}),
        ("Pad", {"p": np.arange(8) % 3}, {"mode": "edge"}),
        ("Slice", {"a": np.array([1]), "b": np.array([5]), "c": np.array([2]), "d": np.array([2])}, {}),
        ("Tile", {"r": np.array([1, 2, 1, 3])}, {}),
        ("Expand", {"s": np.array([2, 1, 1, 1, 1])}, {}),
        ("TopK", {"k": np.array([2])}, {"axis": 2}),
        ("Softmax", {}, {"axis": 1}),
        ("ReduceMean", {}, {"axes": [1, 2], "keepdims": 0}),
        ("LRN", {}, {"size": 3}),
        ("Split", {}, {"axis": 1}),
        ("Gather", {"i": np.array([0, 3])}, {"axis": 1}),
        ("DepthToSpace", {}, {"blocksize": 2}),
        ("QuantizeLinear", {"s": np.float32(0.1), "z": np.uint8(3)}, {}),
    ]
    models = [_node_model(operator, value, constants, attributes) for operator, constants, attributes in kinds]
    names = ("logistic", "mlp", "cnn_int8", "lstm", "boosting")
    return models + [(_GALLERY / f"{name}.onnx").read_bytes() for name in names]


def _node_model(operator: str, value: Any, constants: dict[str, Any], attributes: dict[str, Any]) -> bytes:
    node = helper.make_node(operator, ["x", *constants], ["y"], **attributes)
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    kind = TensorProto.UINT8 if operator == "QuantizeLinear" else FLOAT
    rank = {"Reshape": 2, "Expand": 5, "ReduceMean": 2}.get(operator, 4)
    return graphs.build([node], [("x", FLOAT, value.shape)], [("y", kind, [None] * rank)], tensors)


def damaged(seed: int, count: int) -> Iterator[tuple[str, bytes]]:
    """Good models with bytes changed, or with fields of their messages changed, moved, repeated or left out."""
    random, models = Random(seed), seeds()
    for number in range(count):
        model = random.choices(models, [len(models) - place for place in range(len(models))])[0]
        bent = _bytes_changed(random, model) if random.random() < 0.4 else _fields_changed(random, model)
        yield f"file {number} of seed {seed}", bent


def _bytes_changed(random: Random, model: bytes) -> bytes:
    result = bytearray(model)
    for _ in range(random.randint(1, 4)):
        # Most bytes of a large model are weights; what is odd lies near the ends.
        place = random.choice((random.randrange(len(result)), min(random.randrange(1, 400), len(result) - 1)))
        if random.random() < 0.1:
            del result[place:]
        elif random.random() < 0.2:
            result[place:place] = result[max(0, place - random.randrange(30)) : place]
        else:
            result[place] = random.choice((0, 1, 127, 128, 255, random.randrange(256)))
        result = result or bytearray(b"\0")
    return bytes(result)


def _fields_changed(random: Random, model: bytes) -> bytes:
    proto = onnx.ModelProto.FromString(model)
    for _ in range(random.randint(1, 3)):
        _change(random, random.choice(list(_messages(proto))))
    return bytes(proto.SerializeToString())


def _messages(root: Message) -> Iterator[Message]:
    pending = [root]
    while pending:
        message = pending.pop()
        yield message
        for field, value in message.ListFields():
            if field.message_type is not None:
                pending.extend([value] if isinstance(value, Message) else list(value)[:50])


def _change(random: Random, message: Message) -> None:
    field = random.choice(message.DESCRIPTOR.fields)
    if not isinstance(value := getattr(message, field.name), str | bytes | int | float | Message):
        _change_list(random, message, field, value)
    elif isinstance(value, Message) or random.random() < 0.1:
        message.ClearField(field.name)
    else:
        _assign(message, field.name, _other(random, field, value))


def _change_list(random: Random, message: Message, field: Any, items: Any) -> None:
    if not len(items) or random.random() < 0.15:
        message.ClearField(field.name)
        return
    kept = list(items)
    place, action = random.randrange(len(kept)), random.random()
    if action < 0.25:
        kept.insert(random.randrange(len(kept)), kept[place])
    elif action < 0.4:
        del kept[place]
    elif field.message_type is None:
        kept[place] = _other(random, field, kept[place])
    else:
        kept.reverse()
    try:
        copies = [
            type(each).FromString(each.SerializeToString()) if isinstance(each, Message) else each for each in kept
        ]
        message.ClearField(field.name)
        getattr(message, field.name).extend(copies)
    except (ValueError, TypeError):
        message.ClearField(field.name)


def _other(random: Random, field: Any, value: Any) -> Any:
    if field.cpp_type in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
        return random.choice((0.0, -1.0, 1e30, 1e-40, float("inf"), float("nan")))
    if isinstance(value, int):
        return random.choice((*EDGES, random.randrange(32)))
    text = random.choice(
        ("", "x", "y", "If", "Loop", "Conv", "MatMul", "Concat", "Identity", "ai.onnx.ml", "SAME_UPPER")
    )
    return text.encode() if isinstance(value, bytes) else text


def _assign(message: Message, name: str, value: Any) -> None:
    try:
        setattr(message, name, value)
    except (ValueError, TypeError):
        message.ClearField(name)


def main() -> int:
    """Prints the report; the exit status is not 0 where a file was not handled."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--cases", action="store_true", help="the files that are built by hand instead")
    arguments = parser.parse_args()
    by_hand = ((name, make()) for name, make in CASES.items())
    models = by_hand if arguments.cases else damaged(arguments.seed, arguments.count)
    sys.stdout.write(json.dumps(confined(models)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
