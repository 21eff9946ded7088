// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Float32} from "../../contracts/referee/Float32.sol";
import {ProductSum} from "../../contracts/referee/ProductSum.sol";
import {TreeOpening} from "../../contracts/referee/TreeOpening.sol";
import {WideSum} from "../../contracts/referee/WideSum.sol";

/// @title The referee's arithmetic and its openings from outside, many cases at a time.
contract ArithmeticHarness {
    using WideSum for WideSum.Sum;

    /// @dev One case of exact addition: +-magnitude * 2^exponent.
    struct Term {
        bool negative;
        uint256 magnitude;
        int256 exponent;
    }

    /// @dev The root that leaves and the hashes that go with them lead to.
    function openedRoot(uint256 count, uint256[] memory indices, bytes32[] memory nodes, bytes32[] memory siblings)
        external
        pure
        returns (bytes32)
    {
        uint256 pointer;
        assembly ("memory-safe") {
            pointer := add(siblings, 32)
        }
        return TreeOpening.root(count, indices, nodes, pointer, siblings.length);
    }

    /// @dev RN of each term, with a rest below its last bit where `more`.
    function rounded(Term[] calldata terms, bool more) external pure returns (uint256[] memory bits) {
        bits = new uint256[](terms.length);
        for (uint256 i; i < terms.length; ++i) {
            bits[i] = Float32.round(terms[i].negative, terms[i].magnitude, terms[i].exponent, more);
        }
    }

    /// @dev The sign of the sum of each three terms in a row.
    function signs(Term[] calldata terms) external pure returns (int256[] memory found) {
        found = new int256[](terms.length / 3);
        for (uint256 i; i < found.length; ++i) {
            WideSum.Sum memory sum;
            for (uint256 k = 3 * i; k < 3 * i + 3; ++k) {
                sum.add(terms[k].negative, terms[k].magnitude, terms[k].exponent);
            }
            found[i] = sum.sign();
        }
    }

    /// @dev Each eight products' sums in their bins, and whether a factor was not finite.
    function products(uint256 left, uint256 right) external pure returns (uint256 spoilt, uint256[8] memory sums) {
        uint256 bins = ProductSum.create();
        spoilt = ProductSum.add(bins, left, right);
        for (uint256 k; k < 4; ++k) {
            sums[k] = uint256(ProductSum.bin(bins, k, false));
            sums[k + 4] = uint256(ProductSum.bin(bins, k, true));
        }
    }

    /// @dev RN(bins / divisor) for each eight bins in a row.
    function quotients(uint256[] calldata contents, uint256 divisor) external pure returns (uint256[] memory bits) {
        uint256 bins = ProductSum.create();
        bits = new uint256[](contents.length / 8);
        for (uint256 i; i < contents.length; ++i) {
            uint256 value = contents[i];
            uint256 pointer = bins + 32 * (i % 8);
            assembly ("memory-safe") {
                // SAFETY: the eight bins are this function's own.
                mstore(pointer, value)
            }
            if (i % 8 == 7) bits[i / 8] = ProductSum.roundQuotient(bins, divisor);
        }
    }
}
