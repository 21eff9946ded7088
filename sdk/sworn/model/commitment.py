"""The roots that a model and a run are known by. `docs/encoding.md` is the norm."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sworn.codec.trees import data_root, keccak, seal_payload, seal_tensor, tree_levels
from sworn.model.encoding import PROGRAM_VERSION, encode_interface, encode_step
from sworn.model.program import Program, TensorType
from sworn.model.words import WORD_BYTES
from sworn.types import DType

_STEP, _INTERFACE, _PROGRAM, _WEIGHTS, _TRACE = (bytes([tag]) for tag in range(5, 10))

#: Data from which hashing in bulk pays for its start.
BULK_BYTES: Final = 16 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramHead:
    """What a program root is made of besides the steps' tree."""

    inputs: int
    steps: int
    interface_hash: bytes

    def root(self, tree_root: bytes) -> bytes:
        """The program root over the root of the tree of steps."""
        counts = (PROGRAM_VERSION, self.inputs, self.steps)
        words = b"".join(count.to_bytes(WORD_BYTES) for count in counts)
        return keccak(_PROGRAM + words + self.interface_hash + tree_root)


def program_head(program: Program) -> ProgramHead:
    """The head of a program."""
    interface = interface_hash(encode_interface(program))
    return ProgramHead(inputs=len(program.inputs), steps=len(program.steps), interface_hash=interface)


def interface_hash(interface: bytes) -> bytes:
    """The hash of an encoded interface."""
    return keccak(_INTERFACE + interface)


def step_leaf(step: bytes) -> bytes:
    """The leaf over an encoded step."""
    return keccak(_STEP + step)


def step_leaves(program: Program) -> bytes:
    """The leaves over all steps, one after another."""
    return b"".join(step_leaf(encode_step(program, number)) for number in range(len(program.steps)))


def program_root(program: Program) -> bytes:
    """The root over types, outputs and every step. Raises `ModelUnsupported` for numbers that do not fit 32 bits."""
    return program_head(program).root(tree_levels(step_leaves(program))[-1])


def weights_root(data_roots: Sequence[bytes]) -> bytes:
    """The root over the data roots of all weight tensors; their types stand in the program."""
    return seal_weights(len(data_roots), tree_levels(b"".join(data_roots))[-1])


def seal_weights(count: int, tree_root: bytes) -> bytes:
    """The weights root over the root of a tree of so many data roots."""
    return keccak(_WEIGHTS + count.to_bytes(WORD_BYTES) + tree_root)


def trace_root(data_roots: Sequence[bytes]) -> bytes:
    """The root over the data roots of all values: model inputs first, then one per step."""
    return seal_trace(len(data_roots), tree_levels(b"".join(data_roots))[-1])


def seal_trace(count: int, tree_root: bytes) -> bytes:
    """The trace root over the root of a tree of so many data roots."""
    return keccak(_TRACE + count.to_bytes(WORD_BYTES) + tree_root)


def linked_root(types: Sequence[TensorType], data_roots: Sequence[bytes]) -> bytes:
    """The payload root of tensors of these types and data: what `Result.input_root` and `Result.output_root` hold."""
    return seal_payload(
        [seal_tensor(each.dtype, each.shape, root) for each, root in zip(types, data_roots, strict=True)]
    )


def array_roots(arrays: Sequence[NDArray[Any]], *, threads: int = 1) -> tuple[bytes, ...]:
    """The data root of each array, of exactly the bits that it holds."""
    if sum(array.nbytes for array in arrays) < BULK_BYTES:
        return tuple(data_root(array_bytes(array)) for array in arrays)
    with ThreadPoolExecutor(max_workers=threads) as pool:
        return tuple(pool.map(_bulk_root, arrays))


def _bulk_root(array: NDArray[Any]) -> bytes:
    return data_root(array_bytes(array), bulk=True)


def array_bytes(array: NDArray[Any]) -> memoryview:
    """An array's elements in row-major order, each big-endian, as they are committed to."""
    raw = np.ascontiguousarray(array)
    swapped = raw if raw.dtype == np.bool_ else raw.astype(raw.dtype.newbyteorder(">"))
    return swapped.reshape(-1).view(np.uint8).data


def expected_bytes(tensor: TensorType) -> int:
    """Bytes of a tensor's data."""
    return tensor.elements * DType(tensor.dtype).itemsize
