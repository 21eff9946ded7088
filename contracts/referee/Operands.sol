// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IReferee} from "../interfaces/IReferee.sol";
import {Words} from "./Words.sol";

/// @dev The element offset + sum of strides[k] * o[k] of a tensor, for output index o over the step's axes.
struct Operand {
    // Space in bit 32, the tensor's number below.
    uint256 tensor;
    uint256 dtype;
    uint256 elements;
    int256 offset;
    // Where the strides stand in the calldata.
    uint256 strides;
}

/// @dev One reduced axis, and the bound on it: r counts where 0 <= o[axis] * step + r * dilation + origin < bound.
struct Reduction {
    uint256 extent;
    int256 left;
    int256 right;
    bool clipped;
    uint256 axis;
    int256 step;
    int256 dilation;
    int256 origin;
    uint256 bound;
}

/// @dev The types that a step states of what it reads: a hash table of `tensor | dtype << 33 | elements << 37 | 1 << 80`.
struct StatedTypes {
    uint256[] slots;
}

using OperandsLibrary for Operand global;
using OperandsLibrary for Reduction global;
using StatedTypesLibrary for StatedTypes global;

/// @title Reads the parts that the bodies of steps are made of; twin of `sworn.model.encoding`.
library OperandsLibrary {
    function nextOperand(Words memory words, StatedTypes memory types, uint256 rank)
        internal
        pure
        returns (Operand memory operand)
    {
        uint256 space = words.nextFlag() ? 1 : 0;
        operand = nextTensor(words, types, space);
        operand.offset = words.nextSigned();
        operand.strides = words.skip(rank);
    }

    /// @dev A tensor that is read without an index map.
    function nextTensor(Words memory words, StatedTypes memory types, uint256 space)
        internal
        pure
        returns (Operand memory operand)
    {
        operand.tensor = space << 32 | words.next();
        operand.dtype = words.nextType();
        operand.elements = words.next();
        if (!types.agrees(operand)) words.fail();
    }

    function nextReductions(Words memory words) internal pure returns (Reduction[] memory list) {
        list = new Reduction[](words.nextCount());
        for (uint256 i; i < list.length; ++i) {
            Reduction memory reduction = list[i];
            reduction.extent = words.next();
            reduction.left = words.nextSigned();
            reduction.right = words.nextSigned();
            reduction.clipped = words.nextFlag();
            reduction.axis = words.next();
            reduction.step = words.nextSigned();
            reduction.dilation = words.nextSigned();
            reduction.origin = words.nextSigned();
            reduction.bound = words.next();
            if (
                !reduction.clipped
                    && (reduction.axis | reduction.bound)
                            | uint256(reduction.step | reduction.dilation | reduction.origin) != 0
            ) words.fail();
        }
    }

    /// @dev The flat element that an operand names at an index.
    /// SAFETY: offset and strides are words, coordinates lie below 2^32, and memory bounds their number.
    function base(Operand memory operand, uint256[] memory index) internal pure returns (int256 element) {
        unchecked {
            element = operand.offset;
            uint256 position = operand.strides;
            for (uint256 k; k < index.length; ++k) {
                int256 stride;
                assembly ("memory-safe") {
                    stride := sar(224, calldataload(position))
                }
                element += stride * int256(index[k]);
                position += 4;
            }
        }
    }

    /// @dev The first r that counts, and the one behind the last.
    function range(Reduction memory reduction, uint256[] memory index)
        internal
        pure
        returns (uint256 start, uint256 stop)
    {
        unchecked {
            stop = reduction.extent;
            if (!reduction.clipped) return (0, stop);
            (int256 origin, int256 dilation) = (_origin(reduction, index), reduction.dilation);
            int256 bound = int256(reduction.bound);
            if (dilation == 0) return (0, 0 <= origin && origin < bound ? stop : 0);
            // A falling window is the rising one seen from the other end.
            if (dilation < 0) (origin, dilation) = (bound - 1 - origin, -dilation);
            // 0 <= origin + r * dilation < bound; both quotients are rounded up, and of what is positive.
            if (origin < 0) start = uint256((dilation - 1 - origin) / dilation);
            uint256 last = origin >= bound ? 0 : uint256((bound - origin + dilation - 1) / dilation);
            if (last < stop) stop = last;
            if (start > stop) start = stop;
        }
    }

    /// @dev Whether r counts.
    function holds(Reduction memory reduction, uint256[] memory index, uint256 r) internal pure returns (bool) {
        unchecked {
            if (!reduction.clipped) return true;
            int256 place = _origin(reduction, index) + int256(r) * reduction.dilation;
            return 0 <= place && place < int256(reduction.bound);
        }
    }

    function _origin(Reduction memory reduction, uint256[] memory index) private pure returns (int256) {
        if (reduction.axis >= index.length) revert IReferee.StepMalformed(reduction.axis);
        unchecked {
            return int256(index[reduction.axis]) * reduction.step + reduction.origin;
        }
    }
}

library StatedTypesLibrary {
    /// @dev Room for the types of as many operands as a body of so many bytes can hold.
    function create(uint256 bodyBytes) internal pure returns (StatedTypes memory types) {
        // An operand, or a table of a tree, takes at least 12 bytes; at least half of the slots stay free.
        uint256 size = 8;
        while (size < bodyBytes / 6) size <<= 1;
        types.slots = new uint256[](size);
    }

    /// @dev Whether a tensor has one type wherever the step names it.
    function agrees(StatedTypes memory types, Operand memory operand) internal pure returns (bool) {
        unchecked {
            uint256[] memory slots = types.slots;
            uint256 stated = operand.tensor | operand.dtype << 33 | operand.elements << 37 | 1 << 80;
            uint256 mask = slots.length - 1;
            uint256 slot = operand.tensor & mask;
            while (slots[slot] != 0) {
                if ((slots[slot] ^ stated) & 0x1ffffffff == 0) return slots[slot] == stated;
                slot = (slot + 1) & mask;
            }
            slots[slot] = stated;
            return true;
        }
    }
}
