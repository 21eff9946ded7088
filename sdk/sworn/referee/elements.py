"""One element of one step, and how to read what it depends on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sworn.errors import ModelMalformed
from sworn.model.program import Clip, Operand, Reduction, Space, Step, TensorType
from sworn.types import DType

#: (space, tensor, flat element) → bits of that element, right-aligned.
Read = Callable[[Space, int, int], int]
#: (space, tensor) → type of that tensor.
TypeOf = Callable[[Space, int], TensorType]


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """The element of a step at an output index over the step's axes."""

    step: Step
    #: One coordinate per axis.
    index: tuple[int, ...]
    type_of: TypeOf
    read: Read

    def dtype(self, operand: Operand) -> DType:
        """Element type of the tensor that an operand reads."""
        return self.type_of(operand.space, operand.tensor).dtype

    def coordinate(self, axis: int) -> int:
        """The index on an axis. Raises `ModelMalformed` for an axis that does not exist."""
        if not 0 <= axis < len(self.index):
            raise ModelMalformed(f"a step names axis {axis} of {len(self.index)}")
        return self.index[axis]

    def base(self, operand: Operand, index: Sequence[int] | None = None) -> int:
        """The flat element that an operand names at an index; by default, at this one."""
        index = self.index if index is None else index
        if len(operand.strides) != len(index):
            raise ModelMalformed(f"an operand has {len(operand.strides)} strides for {len(index)} axes")
        return operand.offset + sum(map(int.__mul__, operand.strides, index))

    def bits(self, operand: Operand, displacement: int = 0) -> int:
        """The bits of an operand's element, displaced. Raises `ModelMalformed` outside of the tensor."""
        return self.gather(operand.space, operand.tensor, [self.base(operand) + displacement])[0]

    def gather(self, space: Space, tensor: int, elements: Sequence[int]) -> list[int]:
        """The bits of flat elements of a tensor. Raises `ModelMalformed` outside of it."""
        if elements and not 0 <= min(elements) <= max(elements) < self.type_of(space, tensor).elements:
            raise ModelMalformed(f"a step reads outside of {space.name.lower()} {tensor}")
        read = self.read
        return [read(space, tensor, element) for element in elements]

    def window(self, reductions: Sequence[Reduction]) -> list[tuple[int, int, int]]:
        """What counts of the reduced axes, in row-major order: (position, left and right displacement)."""
        terms = [(0, 0, 0)]
        for reduction in reductions:
            inner = [(r, r * reduction.left_stride, r * reduction.right_stride) for r in self._inside(reduction)]
            extent = reduction.extent
            terms = [(p * extent + r, a + c, b + d) for p, a, b in terms for r, c, d in inner]
        return terms

    def _inside(self, reduction: Reduction) -> Sequence[int]:
        """The r of a reduced axis that its clip leaves."""
        clip: Clip | None = reduction.clip
        if clip is None:
            return range(reduction.extent)
        start = self.coordinate(clip.axis) * clip.step + clip.origin
        return [r for r in range(reduction.extent) if 0 <= start + r * clip.dilation < clip.extent]
