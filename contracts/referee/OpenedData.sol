// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IReferee} from "../interfaces/IReferee.sol";
import {ElementType} from "./ElementType.sol";
import {Claim} from "./IRule.sol";
import {Operand} from "./Operands.sol";
import {Words} from "./Words.sol";

/// @dev The opened chunks of one tensor, as they stand in the proof: index:uint32 | 1024 bytes, again and again; only the
/// last may be shorter.
struct OpenedData {
    uint256 tensor;
    // Bytes per element, and how many elements there are.
    uint256 size;
    uint256 elements;
    // Where in the calldata the first chunk stands, and how many there are.
    uint256 position;
    uint256 chunks;
    // The chunk that was read last: reads mostly rise.
    uint256 recent;
}

using OpenedDataLibrary for OpenedData global;

/// @title Reads elements from the chunks that a proof opens.
/// @dev A tensor is handed on as tensor << 160 | byte length << 96 | chunks << 64 | offset of the first in the proof,
/// with space << 32 | number for the tensor.
library OpenedDataLibrary {
    uint256 private constant CHUNK_BYTES = 1024;
    uint256 private constant ENTRY_BYTES = 1028;

    function pack(uint256 tensor, uint256 byteLength, uint256 chunks, uint256 offset) internal pure returns (uint256) {
        return tensor << 160 | byteLength << 96 | chunks << 64 | offset;
    }

    /// @dev The body of the step behind a claim.
    function words(Claim calldata claim, bytes calldata proof) internal pure returns (Words memory body) {
        uint256 start;
        assembly ("memory-safe") {
            start := proof.offset
        }
        body.position = start + claim.bodyStart;
        body.end = start + claim.bodyEnd;
    }

    /// @dev The data of a tensor that an operand reads. Reverts where it is not opened, or has another length.
    function find(uint256[] calldata opened, bytes calldata proof, Operand memory operand)
        internal
        pure
        returns (OpenedData memory)
    {
        unchecked {
            for (uint256 i; i < opened.length; ++i) {
                uint256 packed = opened[i];
                if (packed >> 160 != operand.tensor) continue;
                return unpack(packed, proof, ElementType.size(operand.dtype), operand.elements);
            }
            revert IReferee.ElementNotOpened(operand.tensor, 0);
        }
    }

    /// @dev Opened data as so many elements of so many bytes. Reverts where it has another length.
    function unpack(uint256 packed, bytes calldata proof, uint256 size, uint256 elements)
        internal
        pure
        returns (OpenedData memory)
    {
        uint256 tensor = packed >> 160;
        if (uint64(packed >> 96) != size * elements) revert IReferee.ElementNotOpened(tensor, 0);
        uint256 start;
        assembly ("memory-safe") {
            start := proof.offset
        }
        return OpenedData(tensor, size, elements, start + uint64(packed), uint32(packed >> 64), 0);
    }

    /// @dev The bits of an element. Reverts where it is not opened, or not there.
    function read(OpenedData memory data, int256 index) internal pure returns (uint256 bits) {
        (uint256 position,) = locate(data, index);
        uint256 unused = 256 - 8 * data.size;
        assembly ("memory-safe") {
            bits := shr(unused, calldataload(position))
        }
    }

    /// @dev Where an element stands in the calldata, and how many stand there in a row, itself included.
    function locate(OpenedData memory data, int256 index) internal pure returns (uint256 position, uint256 run) {
        unchecked {
            requireInside(data, index, index);
            uint256 start = uint256(index) * data.size;
            uint256 inside = start & (CHUNK_BYTES - 1);
            position = _entry(data, start / CHUNK_BYTES, uint256(index)) + 4 + inside;
            run = (CHUNK_BYTES - inside) / data.size;
            uint256 left = data.elements - uint256(index);
            if (left < run) run = left;
        }
    }

    /// @dev Where two rows of elements stand that move by constant strides, and how many pairs until one of them leaves
    /// its chunk, at most `rest`. Without a right operand only the left one counts.
    function locatePairs(
        OpenedData memory left,
        int256 a,
        int256 leftStride,
        OpenedData memory right,
        int256 b,
        int256 rightStride,
        uint256 rest
    ) internal pure returns (uint256 p, uint256 q, uint256 pairs) {
        (p, pairs) = _locateRow(left, a, leftStride, rest);
        if (right.size != 0) (q, pairs) = _locateRow(right, b, rightStride, pairs);
    }

    /// @dev Reverts unless all elements from the least to the greatest exist.
    function requireInside(OpenedData memory data, int256 least, int256 greatest) internal pure {
        if (least < 0 || greatest >= int256(data.elements)) revert IReferee.StepMalformed(data.tensor);
    }

    function _locateRow(OpenedData memory data, int256 start, int256 stride, uint256 rest)
        private
        pure
        returns (uint256 position, uint256 count)
    {
        unchecked {
            (position, count) = locate(data, start);
            if (stride > 1) count = (count - 1) / uint256(stride) + 1;
            // Backwards: as many as the elements before this one in its chunk leave room for.
            if (stride < 0) count = (uint256(start) & (CHUNK_BYTES / data.size - 1)) / uint256(-stride) + 1;
            if (stride == 0 || rest < count) count = rest;
        }
    }

    function _entry(OpenedData memory data, uint256 chunk, uint256 index) private pure returns (uint256 entry) {
        unchecked {
            uint256 recent = data.recent;
            entry = data.position + ENTRY_BYTES * recent;
            if (recent < data.chunks && _word(entry) == chunk) return entry;
            ++recent;
            if (recent < data.chunks && _word(entry + ENTRY_BYTES) == chunk) {
                data.recent = recent;
                return entry + ENTRY_BYTES;
            }
            (uint256 low, uint256 high) = (0, data.chunks);
            while (low < high) {
                uint256 middle = (low + high) / 2;
                entry = data.position + ENTRY_BYTES * middle;
                uint256 found = _word(entry);
                if (found == chunk) {
                    data.recent = middle;
                    return entry;
                }
                if (found < chunk) low = middle + 1;
                else high = middle;
            }
            revert IReferee.ElementNotOpened(data.tensor, index);
        }
    }

    function _word(uint256 position) private pure returns (uint256 value) {
        assembly ("memory-safe") {
            value := shr(224, calldataload(position))
        }
    }
}
