// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IReferee} from "../interfaces/IReferee.sol";
import {BoundedSum} from "./BoundedSum.sol";
import {Contraction, ContractionBody, Runs, RunsLibrary} from "./ContractionBody.sol";
import {ElementType} from "./ElementType.sol";
import {Float32} from "./Float32.sol";
import {FloatArithmetic} from "./FloatArithmetic.sol";
import {Claim, IRule} from "./IRule.sol";
import {OpenedData, OpenedDataLibrary} from "./OpenedData.sol";
import {ProductSum} from "./ProductSum.sol";

/// @title The referee of sums of products of floats: exact, then one rounding or one bound.
/// @dev Twin of `sworn.referee.contraction`. Operands are read eight at a time from where they stand in the calldata.
contract FloatContractionRule is IRule {
    /// @inheritdoc IRule
    function refutes(Claim calldata claim, bytes calldata proof) external pure returns (bool) {
        uint256 bins = ProductSum.create();
        Contraction memory body = ContractionBody.read(claim, proof);
        if (!claim.canonical) return true;
        bool typed = body.left.dtype == ElementType.FLOAT32 && body.leftZero == 0 && body.rightZero == 0;
        if (body.hasRight && body.right.dtype != ElementType.FLOAT32) typed = false;
        if (body.hasBias && body.bias.dtype != ElementType.FLOAT32) typed = false;
        if (!typed) revert IReferee.StepMalformed(claim.bodyStart);
        uint256[] memory index = claim.coordinates;
        (uint256 terms, bool finite) = _sum(bins, body, RunsLibrary.create(body, index), claim, proof);
        uint256 divisor = body.divisor == 0 ? terms : body.divisor;
        // A mean of nothing means nothing.
        if (divisor == 0) revert IReferee.StepMalformed(claim.bodyStart);
        if (body.hasBias) {
            uint256 bias = OpenedDataLibrary.find(claim.opened, proof, body.bias).read(body.bias.base(index));
            if (ProductSum.add(bins, bias, Float32.ONE) != 0) finite = false;
        }
        // An operand that is infinite or NaN gives the element no value.
        if (!finite) return true;
        if (claim.bounded) {
            // Kappa: no order of additions, with or without fused ones, errs by more units of its terms' sizes.
            uint256 kappa = ContractionBody.longest(body) + (body.divisor == 1 ? 1 : 3);
            return !BoundedSum.admits(bins, divisor, kappa, claim.bits, body.lower, body.upper);
        }
        uint256 bits = ProductSum.roundQuotient(bins, divisor);
        return FloatArithmetic.clamp(bits, body.lower, body.upper) != claim.bits;
    }

    /// @dev How many terms count, and whether all operands are finite.
    function _sum(uint256 bins, Contraction memory body, Runs memory runs, Claim calldata claim, bytes calldata proof)
        private
        pure
        returns (uint256 terms, bool finite)
    {
        unchecked {
            finite = true;
            if (runs.terms == 0) return (0, true);
            OpenedData memory left = OpenedDataLibrary.find(claim.opened, proof, body.left);
            OpenedData memory right;
            if (body.hasRight) right = OpenedDataLibrary.find(claim.opened, proof, body.right);
            bool inRow = runs.isContiguous(body.hasRight);
            uint256 spoilt;
            do {
                (int256 least, int256 greatest) = runs.span(runs.left, runs.leftStride);
                left.requireInside(least, greatest);
                if (body.hasRight) {
                    (least, greatest) = runs.span(runs.right, runs.rightStride);
                    right.requireInside(least, greatest);
                }
                spoilt |= _addRun(bins, runs, left, right, inRow);
                terms += runs.terms;
            } while (runs.next());
            finite = spoilt == 0;
        }
    }

    /// @dev Adds a run, eight terms at a time, piece by piece: no piece reaches over the end of a chunk.
    function _addRun(uint256 bins, Runs memory runs, OpenedData memory left, OpenedData memory right, bool inRow)
        private
        pure
        returns (uint256 spoilt)
    {
        unchecked {
            (int256 a, int256 b, uint256 rest) = (runs.left, runs.right, runs.terms);
            while (rest != 0) {
                (uint256 p, uint256 q, uint256 pairs) =
                    OpenedDataLibrary.locatePairs(left, a, runs.leftStride, right, b, runs.rightStride, rest);
                rest -= pairs;
                a += int256(pairs) * runs.leftStride;
                b += int256(pairs) * runs.rightStride;
                if (inRow) {
                    for (; pairs >= 8; pairs -= 8) {
                        spoilt |= ProductSum.add(bins, _load(p), right.size == 0 ? ProductSum.ONES : _load(q));
                        p += 32;
                        q += 32;
                    }
                    if (pairs == 0) continue;
                    uint256 unused = 256 - 32 * pairs;
                    uint256 y = right.size == 0 ? ProductSum.ONES : _load(q);
                    spoilt |= ProductSum.add(bins, _load(p) >> unused, y >> unused);
                } else {
                    spoilt |= _addScattered(bins, runs, p, right.size == 0 ? 0 : q, pairs);
                }
            }
        }
    }

    /// @dev Adds pairs that stand apart, or floats alone where there is no right operand: eight are gathered at a time.
    function _addScattered(uint256 bins, Runs memory runs, uint256 p, uint256 q, uint256 pairs)
        private
        pure
        returns (uint256 spoilt)
    {
        unchecked {
            uint256 leftStep = 4 * uint256(runs.leftStride);
            uint256 rightStep = 4 * uint256(runs.rightStride);
            while (pairs != 0) {
                uint256 x;
                uint256 y = q == 0 ? ProductSum.ONES : 0;
                uint256 count = pairs < 8 ? pairs : 8;
                pairs -= count;
                for (; count != 0; --count) {
                    x = x << 32 | _load(p) >> 224;
                    p += leftStep;
                    if (q == 0) continue;
                    y = y << 32 | _load(q) >> 224;
                    q += rightStep;
                }
                spoilt |= ProductSum.add(bins, x, y);
            }
        }
    }

    function _load(uint256 position) private pure returns (uint256 word) {
        assembly ("memory-safe") {
            word := calldataload(position)
        }
    }
}
