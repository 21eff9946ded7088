"""The roots that a model and a run are known by. `docs/encoding.md` is the norm."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sworn.codec.trees import chunk_leaves, keccak, seal_data, seal_payload, seal_tensor, tree_levels
from sworn.model.encoding import PROGRAM_VERSION, encode_interface, encode_step
from sworn.model.program import Program, TensorType
from sworn.model.words import WORD_BYTES
from sworn.types import DType

_STEP, _INTERFACE, _PROGRAM, _WEIGHTS, _TRACE = (bytes([tag]) for tag in range(5, 10))

#: Data from which hashing in bulk pays for its start.
BULK_BYTES: Final = 16 << 20

#: Bytes that are put into committed order and hashed at a time: whole chunks, many lanes, and less than a cache.
PIECE_BYTES: Final = 1 << 20


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


def input_root(program: Program, data_roots: Sequence[bytes]) -> bytes:
    """The payload root of the model inputs, whose data roots stand first among those of a trace."""
    return linked_root(program.inputs, data_roots[: len(program.inputs)])


def output_root(program: Program, data_roots: Sequence[bytes]) -> bytes:
    """The payload root of the model outputs, whose data roots are among those of a trace."""
    types = [TensorType(dtype=program.value(each.value).dtype, shape=each.shape) for each in program.outputs]
    return linked_root(types, [data_roots[each.value] for each in program.outputs])


def array_roots(arrays: Sequence[NDArray[Any]], *, threads: int = 1) -> tuple[bytes, ...]:
    """The data root of each array, of exactly the bits that it holds."""
    sizes = [array.nbytes for array in arrays]
    trees = array_trees(arrays, threads=threads)
    return tuple(seal_data(size, levels[-1]) for size, levels in zip(sizes, trees, strict=True))


def array_trees(arrays: Sequence[NDArray[Any]], *, threads: int = 1) -> tuple[tuple[bytes, ...], ...]:
    """The levels of each array's chunk tree, from its leaves to its root."""
    bulk = sum(array.nbytes for array in arrays) >= BULK_BYTES
    if not bulk or threads == 1:
        return tuple(array_levels(array, bulk=bulk) for array in arrays)

    def leaves(piece: NDArray[Any]) -> bytes:
        return chunk_leaves(committed_bytes(piece), bulk=True)

    with ThreadPoolExecutor(max_workers=threads) as pool:
        pending = [[pool.submit(leaves, piece) for piece in pieces(array)] for array in arrays]
        return tuple(tree_levels(b"".join(each.result() for each in parts), bulk=True) for parts in pending)


def array_levels(array: NDArray[Any], *, bulk: bool = False) -> tuple[bytes, ...]:
    """The levels of an array's chunk tree, from its leaves to its root."""
    leaves = (chunk_leaves(committed_bytes(piece), bulk=bulk) for piece in pieces(array))
    return tree_levels(b"".join(leaves), bulk=bulk)


def pieces(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """An array's elements in row-major order, some whole chunks at a time: views."""
    flat = np.ascontiguousarray(array).reshape(-1)
    count = PIECE_BYTES // flat.itemsize
    return (flat[start : start + count] for start in range(0, flat.size, count))


def committed_bytes(flat: NDArray[Any]) -> memoryview:
    """The elements of a flat array, each big-endian, as they are committed to."""
    swapped = flat if flat.itemsize == 1 else flat.astype(flat.dtype.newbyteorder(">"))
    return swapped.view(np.uint8).data


def expected_bytes(tensor: TensorType) -> int:
    """Bytes of a tensor's data."""
    return tensor.elements * DType(tensor.dtype).itemsize
