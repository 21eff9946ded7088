// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IReferee} from "../interfaces/IReferee.sol";
import {ElementType} from "./ElementType.sol";
import {Float32} from "./Float32.sol";

/// @dev A place in the calldata, and where it ends; both count from the start of all calldata.
struct Words {
    uint256 position;
    uint256 end;
}

using WordsLibrary for Words global;

/// @title Reads big-endian words of 4 bytes: what a program is written in; twin of `sworn.model.words`.
library WordsLibrary {
    /// @dev One word as a number from 0.
    function next(Words memory words) internal pure returns (uint256 value) {
        uint256 position = words.position;
        if (position + 4 > words.end) revert IReferee.StepMalformed(position);
        assembly ("memory-safe") {
            value := shr(224, calldataload(position))
        }
        unchecked {
            words.position = position + 4;
        }
    }

    /// @dev One word in two's complement.
    function nextSigned(Words memory words) internal pure returns (int256) {
        return int256(int32(uint32(words.next())));
    }

    /// @dev One word that is 0 or 1.
    function nextFlag(Words memory words) internal pure returns (bool) {
        uint256 value = words.next();
        if (value > 1) words.fail();
        return value == 1;
    }

    /// @dev A float that is neither NaN nor -0.
    function nextFloat(Words memory words) internal pure returns (uint256 bits) {
        bits = words.next();
        if (Float32.isNaN(bits) || bits == Float32.SIGN) words.fail();
    }

    /// @dev An element type that exists.
    function nextType(Words memory words) internal pure returns (uint256 dtype) {
        dtype = words.next();
        if (!ElementType.isKnown(dtype)) words.fail();
    }

    /// @dev A number of parts that follow, each of at least one word.
    function nextCount(Words memory words) internal pure returns (uint256 count) {
        count = words.next();
        if (4 * count > words.end - words.position) words.fail();
    }

    /// @dev Where the next `count` words stand; goes past them.
    function skip(Words memory words, uint256 count) internal pure returns (uint256 position) {
        position = words.position;
        if (4 * count > words.end - position) words.fail();
        unchecked {
            words.position = position + 4 * count;
        }
    }

    /// @dev A list of numbers.
    function nextList(Words memory words) internal pure returns (uint256[] memory list) {
        list = new uint256[](words.nextCount());
        for (uint256 i; i < list.length; ++i) {
            list[i] = words.next();
        }
    }

    /// @dev A type: its element type and the number of its elements; sizes whose product passes 2^128 count as 2^128.
    function nextShape(Words memory words) internal pure returns (uint256 dtype, uint256 elements) {
        dtype = words.nextType();
        elements = product(words.nextList());
    }

    /// @dev Reverts unless every word has been read.
    function finish(Words memory words) internal pure {
        if (words.position != words.end) words.fail();
    }

    function fail(Words memory words) internal pure {
        revert IReferee.StepMalformed(words.position);
    }

    /// @dev The product of words, or 2^128 where it is greater.
    function product(uint256[] memory list) internal pure returns (uint256 result) {
        result = 1;
        for (uint256 i; i < list.length; ++i) {
            uint256 factor = list[i];
            if (factor == 0) return 0;
            if (result < 1 << 128) result *= factor;
        }
        if (result > 1 << 128) result = 1 << 128;
    }
}
