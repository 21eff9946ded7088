// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IReferee} from "../interfaces/IReferee.sol";
import {ByteSum} from "./ByteSum.sol";
import {Contraction, ContractionBody, Runs, RunsLibrary} from "./ContractionBody.sol";
import {ElementType} from "./ElementType.sol";
import {Claim, IRule} from "./IRule.sol";
import {OpenedData, OpenedDataLibrary} from "./OpenedData.sol";

/// @title The referee of sums of products of integers, which wrap; twin of `sworn.referee.contraction`.
/// @dev Signed bytes are read with their top bit turned over, which adds 128, and their zero point grows by as much:
/// sum (x - p)(y - q) = sum xy - q sum x - p sum y + n p q, all of it from bytes without a sign.
contract IntegerContractionRule is IRule {
    uint256 private constant TOP_BITS = 0x8080808080808080808080808080808080808080808080808080808080808080;
    uint256 private constant ONES = 0x0101010101010101010101010101010101010101010101010101010101010101;

    /// @dev A side of the products: what is turned over in its words, and its zero point then.
    struct Side {
        uint256 turned;
        int256 zero;
    }

    /// @inheritdoc IRule
    function refutes(Claim calldata claim, bytes calldata proof) external pure returns (bool) {
        Contraction memory body = ContractionBody.read(claim, proof);
        if (!claim.canonical) return true;
        if (!_isTyped(body, claim.dtype)) revert IReferee.StepMalformed(claim.bodyStart);
        uint256[] memory index = claim.coordinates;
        Runs memory runs = RunsLibrary.create(body, index);
        int256 total;
        if (runs.terms != 0) {
            total = ElementType.isByte(body.left.dtype)
                ? _sumOfBytes(body, runs, claim, proof)
                : _sumOfWords(body, runs, claim, proof);
        }
        if (body.hasBias) {
            uint256 bias = OpenedDataLibrary.find(claim.opened, proof, body.bias).read(body.bias.base(index));
            total += ElementType.decode(bias, ElementType.INT32);
        }
        return ElementType.wrap(total, ElementType.INT32) != claim.bits;
    }

    function _isTyped(Contraction memory body, uint256 output) private pure returns (bool) {
        if (output != ElementType.INT32 || body.divisor != 1 || body.isClamped) return false;
        if (body.hasBias && body.bias.dtype != ElementType.INT32) return false;
        if (body.hasRight) return ElementType.isByte(body.left.dtype) && ElementType.isByte(body.right.dtype);
        return ElementType.isByte(body.left.dtype) || body.left.dtype == ElementType.INT32;
    }

    function _sumOfBytes(Contraction memory body, Runs memory runs, Claim calldata claim, bytes calldata proof)
        private
        pure
        returns (int256)
    {
        unchecked {
            OpenedData memory left = OpenedDataLibrary.find(claim.opened, proof, body.left);
            OpenedData memory right;
            Side memory x = _side(body.left.dtype, body.leftZero);
            Side memory y;
            if (body.hasRight) {
                right = OpenedDataLibrary.find(claim.opened, proof, body.right);
                y = _side(body.right.dtype, body.rightZero);
            }
            ByteSum.Sums memory sums;
            int256 terms;
            do {
                _requireInside(runs, left, right);
                _addRun(sums, runs, left, right, x.turned, y.turned);
                terms += int256(runs.terms);
            } while (runs.next());
            int256 total = ByteSum.ofProducts(sums) - y.zero * ByteSum.total(sums.left);
            return total - x.zero * ByteSum.total(sums.right) + terms * x.zero * y.zero;
        }
    }

    function _requireInside(Runs memory runs, OpenedData memory left, OpenedData memory right) private pure {
        (int256 least, int256 greatest) = runs.span(runs.left, runs.leftStride);
        left.requireInside(least, greatest);
        if (right.size == 0) return;
        (least, greatest) = runs.span(runs.right, runs.rightStride);
        right.requireInside(least, greatest);
    }

    /// @dev Adds a run, 32 terms at a time, piece by piece: no piece reaches over the end of a chunk.
    function _addRun(
        ByteSum.Sums memory sums,
        Runs memory runs,
        OpenedData memory left,
        OpenedData memory right,
        uint256 turnedLeft,
        uint256 turnedRight
    ) private pure {
        unchecked {
            (int256 a, int256 b, uint256 rest) = (runs.left, runs.right, runs.terms);
            bool inRow = right.size != 0 && runs.isContiguous(true);
            while (rest != 0) {
                (uint256 p, uint256 q, uint256 pairs) =
                    OpenedDataLibrary.locatePairs(left, a, runs.leftStride, right, b, runs.rightStride, rest);
                rest -= pairs;
                a += int256(pairs) * runs.leftStride;
                b += int256(pairs) * runs.rightStride;
                for (; inRow && pairs >= 32; pairs -= 32) {
                    ByteSum.add(sums, _load(p) ^ turnedLeft, _load(q) ^ turnedRight);
                    p += 32;
                    q += 32;
                }
                while (pairs != 0) {
                    uint256 count = pairs < 32 ? pairs : 32;
                    uint256 unused = 256 - 8 * count;
                    uint256 x = inRow ? _load(p) >> unused : _gather(p, runs.leftStride, count);
                    uint256 y = inRow ? _load(q) >> unused : _gather(q, runs.rightStride, count);
                    // Without a right operand every factor is 1.
                    if (right.size == 0) y = ONES >> unused;
                    ByteSum.add(sums, x ^ (turnedLeft >> unused), y ^ (turnedRight >> unused));
                    p += count * uint256(runs.leftStride);
                    q += count * uint256(runs.rightStride);
                    pairs -= count;
                }
            }
        }
    }

    /// @dev Bytes that stand apart, the last one lowest.
    function _gather(uint256 position, int256 stride, uint256 count) private pure returns (uint256 word) {
        unchecked {
            for (; count != 0; --count) {
                word = word << 8 | _load(position) >> 248;
                position += uint256(stride);
            }
        }
    }

    /// @dev The sum of int32 elements.
    function _sumOfWords(Contraction memory body, Runs memory runs, Claim calldata claim, bytes calldata proof)
        private
        pure
        returns (int256 total)
    {
        unchecked {
            OpenedData memory left = OpenedDataLibrary.find(claim.opened, proof, body.left);
            OpenedData memory none;
            do {
                _requireInside(runs, left, none);
                int256 element = runs.left;
                for (uint256 i; i < runs.terms; ++i) {
                    total += int256(int32(uint32(left.read(element)))) - body.leftZero;
                    element += runs.leftStride;
                }
            } while (runs.next());
        }
    }

    function _side(uint256 dtype, int256 zero) private pure returns (Side memory) {
        return dtype == ElementType.INT8 ? Side(TOP_BITS, zero + 128) : Side(0, zero);
    }

    function _load(uint256 position) private pure returns (uint256 word) {
        assembly ("memory-safe") {
            word := calldataload(position)
        }
    }
}
