// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Float32} from "./Float32.sol";
import {Claim} from "./IRule.sol";
import {OpenedData, OpenedDataLibrary} from "./OpenedData.sol";
import {Operand, OperandsLibrary, StatedTypes, StatedTypesLibrary} from "./Operands.sol";
import {Words} from "./Words.sol";

/// @title The first piece whose box holds the index, else the fill.
library CopyRule {
    function refutes(Claim calldata claim, bytes calldata proof) internal pure returns (bool) {
        Words memory words = OpenedDataLibrary.words(claim, proof);
        uint256 fill = words.next() << 32;
        fill |= words.next();
        uint256 count = words.nextCount();
        StatedTypes memory types = StatedTypesLibrary.create(words.end - words.position);
        uint256[] memory index = claim.coordinates;
        Operand memory source;
        // A piece with a step of 0 makes no sense, but one behind the piece that holds the index is not looked at.
        bool found = !claim.canonical;
        bool copied;
        for (uint256 i; i < count; ++i) {
            Operand memory operand = OperandsLibrary.nextOperand(words, types, index.length);
            uint256 box = words.skip(3 * index.length);
            if (found) continue;
            (bool holds, bool sound, uint256[] memory inner) = _inside(index, box);
            if (!sound) words.fail();
            if (holds) (found, copied, source, index) = (true, true, operand, inner);
        }
        words.finish();
        if (!claim.canonical) return true;
        if (!claim.axesFit) words.fail();
        uint256 bits = fill;
        if (copied) {
            if (source.dtype != claim.dtype) words.fail();
            OpenedData memory data = OpenedDataLibrary.find(claim.opened, proof, source);
            bits = data.read(source.base(index));
        }
        return Float32.canonical(bits, claim.dtype) != claim.bits;
    }

    /// @dev The index within a box, whether the box holds it, and whether the box makes sense.
    function _inside(uint256[] memory index, uint256 box)
        private
        pure
        returns (bool holds, bool sound, uint256[] memory inner)
    {
        unchecked {
            inner = new uint256[](index.length);
            (holds, sound) = (true, true);
            for (uint256 k; k < index.length; ++k) {
                uint256 starts = box + 4 * k;
                uint256 every = _word(starts + 8 * index.length);
                if (every == 0) return (false, false, inner);
                uint256 start = _word(starts);
                uint256 stop = _word(starts + 4 * index.length);
                // Where the index lies before the box, the difference is beyond any word.
                uint256 moved = index[k] - start;
                if (index[k] < start || index[k] >= stop || moved % every != 0) holds = false;
                inner[k] = moved / every;
            }
        }
    }

    function _word(uint256 position) private pure returns (uint256 value) {
        assembly ("memory-safe") {
            value := shr(224, calldataload(position))
        }
    }
}
