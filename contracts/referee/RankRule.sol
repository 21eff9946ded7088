// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {ElementType} from "./ElementType.sol";
import {Float32} from "./Float32.sol";
import {Claim} from "./IRule.sol";
import {OpenedData, OpenedDataLibrary} from "./OpenedData.sol";
import {Operand, OperandsLibrary, StatedTypes, StatedTypesLibrary} from "./Operands.sol";
import {Words} from "./Words.sol";

/// @title The position in a row of the p-th greatest or least element; among equals the earlier comes first.
/// @dev Nothing is sorted: the stated position is right where exactly p elements come before its element.
library RankRule {
    // Twin of `sworn.model.validation.MAX_ROW`.
    uint256 private constant MAX_ROW = 15_000;

    struct Row {
        bool largest;
        uint256 axis;
        uint256 extent;
        int256 stride;
    }

    function refutes(Claim calldata claim, bytes calldata proof) internal pure returns (bool) {
        Words memory words = OpenedDataLibrary.words(claim, proof);
        Row memory row;
        row.largest = words.nextFlag();
        row.axis = words.next();
        row.extent = words.next();
        row.stride = words.nextSigned();
        uint256[] memory index = claim.coordinates;
        StatedTypes memory types = StatedTypesLibrary.create(words.end - words.position);
        Operand memory source = OperandsLibrary.nextOperand(words, types, index.length);
        words.finish();
        if (row.extent > MAX_ROW) words.fail();
        if (!claim.canonical) return true;
        bool comparable = ElementType.isInteger(source.dtype) || source.dtype == ElementType.FLOAT32
            || source.dtype == ElementType.BOOL;
        if (!claim.axesFit || claim.dtype != ElementType.INT64 || row.extent == 0 || !comparable) words.fail();
        OpenedData memory data = OpenedDataLibrary.find(claim.opened, proof, source);
        (uint256 before, bool hasNaN) = _count(row, data, source, source.base(index), claim.bits);
        if (hasNaN) return true;
        if (row.axis >= index.length || index[row.axis] >= row.extent) words.fail();
        return claim.bits >= row.extent || before != index[row.axis];
    }

    /// @dev How many elements come before the stated one; nonsense where that does not exist.
    function _count(Row memory row, OpenedData memory data, Operand memory source, int256 base, uint256 stated)
        private
        pure
        returns (uint256 before, bool hasNaN)
    {
        unchecked {
            uint256 dtype = source.dtype;
            int256 sign = row.largest ? int256(-1) : int256(1);
            int256 pivot;
            if (stated < row.extent) pivot = sign * _key(data.read(base + int256(stated) * row.stride), dtype);
            for (uint256 j; j < row.extent; ++j) {
                uint256 bits = data.read(base);
                base += row.stride;
                if (dtype == ElementType.FLOAT32 && Float32.isNaN(bits)) hasNaN = true;
                int256 key = sign * _key(bits, dtype);
                if (key < pivot || (key == pivot && j < stated)) ++before;
            }
        }
    }

    function _key(uint256 bits, uint256 dtype) private pure returns (int256) {
        return dtype == ElementType.FLOAT32 ? Float32.orderKey(bits) : ElementType.decode(bits, dtype);
    }
}
