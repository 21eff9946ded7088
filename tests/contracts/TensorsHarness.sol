// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Tensors} from "../../contracts/consumer/Tensors.sol";
import {Float} from "../../contracts/types/Float.sol";

/// @title TensorsHarness
/// @notice Opens `Tensors` and `Float` to calls; lists, so that one call tests many values.
contract TensorsHarness {
    using Tensors for Tensors.View;

    /* FLOAT */

    function fromWads(int256[] calldata wads, uint256 exponentBits, uint256 fractionBits)
        external
        pure
        returns (uint256[] memory bits)
    {
        bits = new uint256[](wads.length);
        for (uint256 i; i < wads.length; ++i) {
            bits[i] = Float.fromWad(wads[i], exponentBits, fractionBits);
        }
    }

    function toWads(uint256[] calldata bits, uint256 exponentBits, uint256 fractionBits)
        external
        pure
        returns (int256[] memory wads)
    {
        wads = new int256[](bits.length);
        for (uint256 i; i < bits.length; ++i) {
            wads[i] = Float.toWad(bits[i], exponentBits, fractionBits);
        }
    }

    function orders(uint256[] calldata bits, uint256 width) external pure returns (int256[] memory numbers) {
        numbers = new int256[](bits.length);
        for (uint256 i; i < bits.length; ++i) {
            numbers[i] = Float.order(bits[i], width);
        }
    }

    /* BUILD */

    function float32s(int256[] calldata wads, uint32[] calldata shape) external pure returns (bytes memory) {
        return Tensors.float32s(wads, shape);
    }

    function float64s(int256[] calldata wads, uint32[] calldata shape) external pure returns (bytes memory) {
        return Tensors.float64s(wads, shape);
    }

    function integers(uint8 dtype, int256[] calldata values, uint32[] calldata shape)
        external
        pure
        returns (bytes memory)
    {
        return Tensors.integers(dtype, values, shape);
    }

    function payloadOfOne(bytes calldata tensor) external pure returns (bytes memory) {
        return Tensors.payloadOf(tensor);
    }

    function payloadOfMany(bytes[] calldata tensors) external pure returns (bytes memory) {
        return Tensors.payloadOf(tensors);
    }

    function rootOf(bytes calldata payload) external pure returns (bytes32) {
        return Tensors.rootOf(payload);
    }

    function shapes(uint32 a, uint32 b) external pure returns (uint32[] memory one, uint32[] memory two) {
        return (Tensors.shape1(a), Tensors.shape2(a, b));
    }

    /// @notice Builds in one call all tensors that a consumer may want, so that any of them would spoil its neighbours
    /// if it wrote beyond its end.
    function neighbours(int256[] calldata wads, int256[] calldata values)
        external
        pure
        returns (bytes memory first, bytes memory second, bytes memory third)
    {
        first = Tensors.float32s(wads, Tensors.shape1(uint32(wads.length)));
        second = Tensors.integers(Tensors.INT8, values, Tensors.shape1(uint32(values.length)));
        third = Tensors.float64s(wads, Tensors.shape2(1, uint32(wads.length)));
    }

    /* READ */

    function describe(bytes calldata payload, uint256 index)
        external
        pure
        returns (uint8 dtype, uint32[] memory shape, uint256 elements)
    {
        Tensors.View memory tensor = Tensors.tensorAt(payload, index);
        return (tensor.dtype, tensor.shape, tensor.elements);
    }

    function allBits(bytes calldata payload, uint256 index) external pure returns (uint256[] memory bits) {
        Tensors.View memory tensor = Tensors.tensorAt(payload, index);
        bits = new uint256[](tensor.elements);
        for (uint256 i; i < tensor.elements; ++i) {
            bits[i] = tensor.bitsAt(i);
        }
    }

    function allWads(bytes calldata payload, uint256 index) external pure returns (int256[] memory wads) {
        Tensors.View memory tensor = Tensors.tensorAt(payload, index);
        wads = new int256[](tensor.elements);
        for (uint256 i; i < tensor.elements; ++i) {
            wads[i] = tensor.wadAt(i);
        }
    }

    function allIntegers(bytes calldata payload, uint256 index) external pure returns (int256[] memory values) {
        Tensors.View memory tensor = Tensors.tensorAt(payload, index);
        values = new int256[](tensor.elements);
        for (uint256 i; i < tensor.elements; ++i) {
            values[i] = tensor.integerAt(i);
        }
    }

    function wadAt(bytes calldata payload, uint256 index, uint256 element) external pure returns (int256) {
        return Tensors.tensorAt(payload, index).wadAt(element);
    }

    function argmax(bytes calldata payload, uint256 index) external pure returns (uint256) {
        return Tensors.tensorAt(payload, index).argmax();
    }

    /// @notice The greatest elements' positions for many payloads.
    function argmaxes(bytes[] calldata payloads) external pure returns (uint256[] memory positions) {
        positions = new uint256[](payloads.length);
        for (uint256 i; i < payloads.length; ++i) {
            positions[i] = Tensors.tensorAt(payloads[i], 0).argmax();
        }
    }
}
