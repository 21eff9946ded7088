// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Float} from "../types/Float.sol";
import {TensorPayload} from "../types/TensorPayload.sol";

/// @title Tensors
/// @notice Builds input payloads and reads output payloads in Solidity.
/// @dev Numbers are wads: integers of 1e-18. To a float they are rounded to nearest, ties to even; from a float they are
/// rounded toward zero. Element types are numbered as in ONNX.
library Tensors {
    using TensorPayload for bytes;

    /// @notice Thrown when a payload has fewer tensors than asked for.
    error TensorMissing(uint256 index, uint256 tensors);
    /// @notice Thrown when a tensor has fewer elements than asked for.
    error ElementMissing(uint256 index, uint256 elements);
    /// @notice Thrown when shape and number of elements differ.
    error ShapeMismatch(uint256 elements, uint256 shapeElements);
    /// @notice Thrown when a value does not fit the element type.
    error ValueOutOfRange(int256 value, uint8 dtype);

    uint8 internal constant FLOAT32 = 1;
    uint8 internal constant UINT8 = 2;
    uint8 internal constant INT8 = 3;
    uint8 internal constant UINT16 = 4;
    uint8 internal constant INT16 = 5;
    uint8 internal constant INT32 = 6;
    uint8 internal constant INT64 = 7;
    uint8 internal constant BOOL = 9;
    uint8 internal constant FLOAT64 = 11;
    uint8 internal constant UINT32 = 12;
    uint8 internal constant UINT64 = 13;

    /// @dev One tensor of a payload, ready to be read.
    struct View {
        bytes payload;
        uint8 dtype;
        uint32[] shape;
        uint256 elements;
        uint256 dataOffset;
    }

    /* BUILD */

    /// @notice A float32 tensor of any shape from wads.
    function float32s(int256[] memory wads, uint32[] memory shape) internal pure returns (bytes memory tensor) {
        return _floats(FLOAT32, wads, shape);
    }

    /// @notice A float64 tensor of any shape from wads.
    function float64s(int256[] memory wads, uint32[] memory shape) internal pure returns (bytes memory tensor) {
        return _floats(FLOAT64, wads, shape);
    }

    /// @notice An integer or bool tensor of any shape from plain integers.
    /// @dev Reverts with `ValueOutOfRange` when a value does not fit `dtype`.
    function integers(uint8 dtype, int256[] memory values, uint32[] memory shape)
        internal
        pure
        returns (bytes memory tensor)
    {
        uint256 size = TensorPayload.itemBytes(dtype);
        uint256 cursor;
        (tensor, cursor) = _allocate(dtype, size, values.length, shape);
        for (uint256 i; i < values.length; ++i) {
            if (!_fits(dtype, size, values[i])) revert ValueOutOfRange(values[i], dtype);
            _write(tensor, cursor, size, uint256(values[i]));
            cursor += size;
        }
    }

    /// @notice The payload of one tensor.
    function payloadOf(bytes memory tensor) internal pure returns (bytes memory) {
        return abi.encodePacked(uint8(1), tensor);
    }

    /// @notice The payload of several tensors, in the order of the model's inputs.
    function payloadOf(bytes[] memory tensors) internal pure returns (bytes memory payload) {
        payload = abi.encodePacked(uint8(tensors.length));
        for (uint256 i; i < tensors.length; ++i) {
            payload = bytes.concat(payload, tensors[i]);
        }
    }

    /// @notice The commitment of a payload: a request's `inputRoot`.
    function rootOf(bytes memory payload) internal pure returns (bytes32) {
        return payload.root();
    }

    /// @notice A shape of one axis.
    function shape1(uint32 a) internal pure returns (uint32[] memory shape) {
        shape = new uint32[](1);
        shape[0] = a;
    }

    /// @notice A shape of two axes.
    function shape2(uint32 a, uint32 b) internal pure returns (uint32[] memory shape) {
        shape = new uint32[](2);
        (shape[0], shape[1]) = (a, b);
    }

    /* READ */

    /// @notice The tensor at a position of a payload, in the order of the model's outputs.
    function tensorAt(bytes memory payload, uint256 index) internal pure returns (View memory tensor) {
        uint256 tensors = payload.count();
        if (index >= tensors) revert TensorMissing(index, tensors);
        uint256 offset = 1;
        TensorPayload.Tensor memory parsed = payload.parse(offset);
        for (uint256 i; i < index; ++i) {
            parsed = payload.parse(parsed.dataOffset + parsed.dataBytes);
        }
        tensor.payload = payload;
        tensor.dtype = parsed.dtype;
        tensor.elements = parsed.elements;
        tensor.dataOffset = parsed.dataOffset;
        tensor.shape = new uint32[](parsed.rank);
        for (uint256 axis; axis < parsed.rank; ++axis) {
            tensor.shape[axis] = uint32(TensorPayload.dim(payload, parsed, axis));
        }
    }

    /// @notice The raw bits of an element, right-aligned.
    function bitsAt(View memory tensor, uint256 index) internal pure returns (uint256 bits) {
        if (index >= tensor.elements) revert ElementMissing(index, tensor.elements);
        uint256 size = TensorPayload.itemBytes(tensor.dtype);
        uint256 offset = tensor.dataOffset + index * size;
        bytes memory payload = tensor.payload;
        assembly ("memory-safe") {
            bits := shr(sub(256, mul(8, size)), mload(add(add(payload, 32), offset)))
        }
    }

    /// @notice An element as a wad: floats toward zero, integers and bools times 1e18.
    function wadAt(View memory tensor, uint256 index) internal pure returns (int256) {
        uint256 bits = bitsAt(tensor, index);
        if (tensor.dtype == FLOAT32) return Float.toWad(bits, 8, 23);
        if (tensor.dtype == FLOAT64) return Float.toWad(bits, 11, 52);
        return _integer(tensor.dtype, bits) * 1e18;
    }

    /// @notice An element as an integer: floats toward zero.
    function integerAt(View memory tensor, uint256 index) internal pure returns (int256) {
        if (tensor.dtype == FLOAT32 || tensor.dtype == FLOAT64) return wadAt(tensor, index) / 1e18;
        return _integer(tensor.dtype, bitsAt(tensor, index));
    }

    /// @notice The position of the greatest element; the first one wins a tie.
    function argmax(View memory tensor) internal pure returns (uint256 position) {
        if (tensor.elements == 0) revert ElementMissing(0, 0);
        int256 best = _order(tensor, 0);
        for (uint256 i = 1; i < tensor.elements; ++i) {
            int256 candidate = _order(tensor, i);
            if (candidate > best) (best, position) = (candidate, i);
        }
    }

    /* INTERNAL */

    function _floats(uint8 dtype, int256[] memory wads, uint32[] memory shape)
        private
        pure
        returns (bytes memory tensor)
    {
        bool single = dtype == FLOAT32;
        uint256 size = single ? 4 : 8;
        uint256 cursor;
        (tensor, cursor) = _allocate(dtype, size, wads.length, shape);
        for (uint256 i; i < wads.length; ++i) {
            _write(tensor, cursor, size, single ? Float.fromWad(wads[i], 8, 23) : Float.fromWad(wads[i], 11, 52));
            cursor += size;
        }
    }

    function _allocate(uint8 dtype, uint256 size, uint256 elements, uint32[] memory shape)
        private
        pure
        returns (bytes memory tensor, uint256 dataOffset)
    {
        uint256 shapeElements = 1;
        for (uint256 axis; axis < shape.length; ++axis) {
            shapeElements *= shape[axis];
        }
        if (shapeElements != elements) revert ShapeMismatch(elements, shapeElements);
        dataOffset = 2 + 4 * shape.length;
        // SAFETY: a whole word is written per element, so the last ones need room behind them.
        tensor = new bytes(dataOffset + elements * size + 32);
        tensor[0] = bytes1(dtype);
        tensor[1] = bytes1(uint8(shape.length));
        for (uint256 axis; axis < shape.length; ++axis) {
            _write(tensor, 2 + 4 * axis, 4, shape[axis]);
        }
        assembly ("memory-safe") {
            mstore(tensor, sub(mload(tensor), 32))
        }
    }

    /// @dev Writes the low `size` bytes of `value` at `offset`; clobbers the rest of that word with zeros.
    function _write(bytes memory target, uint256 offset, uint256 size, uint256 value) private pure {
        assembly ("memory-safe") {
            mstore(add(add(target, 32), offset), shl(sub(256, mul(8, size)), value))
        }
    }

    function _isUnsigned(uint8 dtype) private pure returns (bool) {
        return dtype == UINT8 || dtype == UINT16 || dtype == UINT32 || dtype == UINT64 || dtype == BOOL;
    }

    function _fits(uint8 dtype, uint256 size, int256 value) private pure returns (bool) {
        if (dtype == FLOAT32 || dtype == FLOAT64) return false;
        if (dtype == BOOL) return value == 0 || value == 1;
        if (_isUnsigned(dtype)) return value >= 0 && value < int256(1 << (8 * size));
        int256 bound = int256(1 << (8 * size - 1));
        return value >= -bound && value < bound;
    }

    function _integer(uint8 dtype, uint256 bits) private pure returns (int256 value) {
        if (_isUnsigned(dtype)) return int256(bits);
        uint256 top = TensorPayload.itemBytes(dtype) - 1;
        assembly ("memory-safe") {
            value := signextend(top, bits)
        }
    }

    /// @dev A number that orders elements of one type as their values do.
    function _order(View memory tensor, uint256 index) private pure returns (int256) {
        uint256 bits = bitsAt(tensor, index);
        if (tensor.dtype == FLOAT32) return Float.order(bits, 32);
        if (tensor.dtype == FLOAT64) return Float.order(bits, 64);
        return _integer(tensor.dtype, bits);
    }
}
