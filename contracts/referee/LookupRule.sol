// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {ElementType} from "./ElementType.sol";
import {Float32} from "./Float32.sol";
import {Claim} from "./IRule.sol";
import {OpenedData, OpenedDataLibrary} from "./OpenedData.sol";
import {Operand, OperandsLibrary, StatedTypes, StatedTypesLibrary} from "./Operands.sol";
import {Words, WordsLibrary} from "./Words.sol";

/// @title The element that an index points at. An index that points at none gives no value.
library LookupRule {
    function refutes(Claim calldata claim, bytes calldata proof) internal pure returns (bool) {
        Words memory words = OpenedDataLibrary.words(claim, proof);
        uint256[] memory extents = words.nextList();
        uint256 strides = words.skip(extents.length);
        uint256[] memory coordinates = claim.coordinates;
        StatedTypes memory types = StatedTypesLibrary.create(words.end - words.position);
        Operand memory source = OperandsLibrary.nextOperand(words, types, coordinates.length);
        Operand memory index = OperandsLibrary.nextOperand(words, types, coordinates.length);
        words.finish();
        if (!claim.canonical) return true;
        bool isIndex = ElementType.isInteger(index.dtype) || index.dtype == ElementType.BOOL;
        if (!claim.axesFit || source.dtype != claim.dtype || !isIndex) words.fail();
        uint256 size = WordsLibrary.product(extents);
        // What counts as 2^128 is not known exactly; no tensor has so many elements.
        if (size == 1 << 128) words.fail();
        OpenedData memory data = OpenedDataLibrary.find(claim.opened, proof, index);
        int256 number = ElementType.decode(data.read(index.base(coordinates)), index.dtype);
        if (number < 0) number += int256(size);
        if (number < 0 || number >= int256(size)) return true;
        int256 element = source.base(coordinates) + _displacement(uint256(number), extents, strides);
        if (element < 0 || element >= int256(source.elements)) return true;
        data = OpenedDataLibrary.find(claim.opened, proof, source);
        return Float32.canonical(data.read(element), claim.dtype) != claim.bits;
    }

    /// @dev The number decomposed over the extents in row-major order, times the strides.
    function _displacement(uint256 number, uint256[] memory extents, uint256 strides)
        private
        pure
        returns (int256 moved)
    {
        unchecked {
            for (uint256 k = extents.length; k != 0; --k) {
                int256 stride;
                uint256 position = strides + 4 * k - 4;
                assembly ("memory-safe") {
                    stride := sar(224, calldataload(position))
                }
                moved += stride * int256(number % extents[k - 1]);
                number /= extents[k - 1];
            }
        }
    }
}
