// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Claim} from "./IRule.sol";
import {OpenedDataLibrary} from "./OpenedData.sol";
import {Operand, OperandsLibrary, Reduction, StatedTypes, StatedTypesLibrary} from "./Operands.sol";
import {Words} from "./Words.sol";

/// @dev The body of a contraction. Operands that are not there have `isThere` unset.
struct Contraction {
    bool hasRight;
    bool hasBias;
    uint256 divisor;
    int256 leftZero;
    int256 rightZero;
    bool isClamped;
    // Infinite where there is none.
    uint256 lower;
    uint256 upper;
    Reduction[] reductions;
    Operand left;
    Operand right;
    Operand bias;
}

/// @dev The terms that count, run by run: in a run both operands' elements move by constant strides.
struct Runs {
    // Where the present run starts, and its terms.
    int256 left;
    int256 right;
    uint256 terms;
    // The strides of every run.
    int256 leftStride;
    int256 rightStride;
    // Of the reductions: what counts, and where the present run is; the first `outer` ones move from run to run.
    uint256 outer;
    Reduction[] reductions;
    uint256[] starts;
    uint256[] stops;
    uint256[] places;
}

using RunsLibrary for Runs global;

/// @title Reads the body of a contraction.
library ContractionBody {
    uint256 private constant RIGHT = 1;
    uint256 private constant BIAS = 2;
    uint256 private constant LOWER = 4;
    uint256 private constant UPPER = 8;
    uint256 private constant NEGATIVE_INFINITY = 0xff800000;
    uint256 private constant POSITIVE_INFINITY = 0x7f800000;
    // Twin of `sworn.model.program.MAX_TERMS`.
    uint256 private constant MAX_TERMS = 8192;

    function read(Claim calldata claim, bytes calldata proof) internal pure returns (Contraction memory body) {
        Words memory words = OpenedDataLibrary.words(claim, proof);
        uint256 flags = words.next();
        if (flags > (RIGHT | BIAS | LOWER | UPPER)) words.fail();
        body.hasRight = flags & RIGHT != 0;
        body.hasBias = flags & BIAS != 0;
        body.isClamped = flags & (LOWER | UPPER) != 0;
        body.divisor = words.next();
        body.leftZero = words.nextSigned();
        body.rightZero = words.nextSigned();
        body.lower = _bound(words, flags & LOWER != 0, NEGATIVE_INFINITY);
        body.upper = _bound(words, flags & UPPER != 0, POSITIVE_INFINITY);
        body.reductions = OperandsLibrary.nextReductions(words);
        uint256 rank = claim.coordinates.length;
        StatedTypes memory types = StatedTypesLibrary.create(words.end - words.position);
        body.left = OperandsLibrary.nextOperand(words, types, rank);
        if (body.hasRight) body.right = OperandsLibrary.nextOperand(words, types, rank);
        if (body.hasBias) body.bias = OperandsLibrary.nextOperand(words, types, rank);
        words.finish();
        if (claim.canonical && (!claim.axesFit || longest(body) > MAX_TERMS)) words.fail();
    }

    function _bound(Words memory words, bool present, uint256 missing) private pure returns (uint256 bits) {
        bits = words.nextFloat();
        if (present) return bits;
        if (bits != 0) words.fail();
        return missing;
    }

    /// @dev The terms that count and those that do not, capped above `MAX_TERMS`.
    function longest(Contraction memory body) internal pure returns (uint256 terms) {
        terms = 1;
        for (uint256 k; k < body.reductions.length; ++k) {
            uint256 extent = body.reductions[k].extent;
            if (extent == 0) return 0;
            if (terms <= MAX_TERMS) terms *= extent;
        }
    }
}

/// @title Walks through the terms of a contraction in row-major order.
library RunsLibrary {
    /// @dev The first run; without terms where none counts.
    function create(Contraction memory body, uint256[] memory index) internal pure returns (Runs memory runs) {
        unchecked {
            uint256 count = body.reductions.length;
            runs.reductions = body.reductions;
            runs.starts = new uint256[](count);
            runs.stops = new uint256[](count);
            runs.places = new uint256[](count);
            runs.left = body.left.base(index);
            if (body.hasRight) runs.right = body.right.base(index);
            runs.outer = count;
            runs.terms = 1;
            bool empty;
            for (uint256 k; k < count; ++k) {
                Reduction memory reduction = body.reductions[k];
                (uint256 start, uint256 stop) = reduction.range(index);
                if (start == stop) empty = true;
                (runs.starts[k], runs.stops[k], runs.places[k]) = (start, stop, start);
                runs.left += int256(start) * reduction.left;
                runs.right += int256(start) * reduction.right;
            }
            if (empty) runs.terms = 0;
            else if (count != 0) _join(runs);
        }
    }

    /// @dev Takes the innermost reduction for a run, and those around it as long as they go on where it ends.
    function _join(Runs memory runs) private pure {
        unchecked {
            uint256 k = runs.outer - 1;
            (runs.leftStride, runs.rightStride) = (runs.reductions[k].left, runs.reductions[k].right);
            runs.terms = runs.stops[k] - runs.starts[k];
            for (; k != 0; --k) {
                Reduction memory outer = runs.reductions[k - 1];
                int256 terms = int256(runs.terms);
                if (outer.left != terms * runs.leftStride || outer.right != terms * runs.rightStride) break;
                runs.terms *= runs.stops[k - 1] - runs.starts[k - 1];
            }
            runs.outer = k;
        }
    }

    /// @dev Whether the elements of both operands, or of the left one alone, stand in a row, one after another.
    function isContiguous(Runs memory runs, bool hasRight) internal pure returns (bool) {
        return runs.terms == 1 || (runs.leftStride == 1 && (!hasRight || runs.rightStride == 1));
    }

    /// @dev Goes to the next run; false where there is none.
    function next(Runs memory runs) internal pure returns (bool) {
        unchecked {
            for (uint256 k = runs.outer; k != 0; --k) {
                Reduction memory reduction = runs.reductions[k - 1];
                uint256 start = runs.starts[k - 1];
                uint256 place = runs.places[k - 1] + 1;
                if (place < runs.stops[k - 1]) {
                    runs.places[k - 1] = place;
                    runs.left += reduction.left;
                    runs.right += reduction.right;
                    return true;
                }
                runs.left -= int256(place - 1 - start) * reduction.left;
                runs.right -= int256(place - 1 - start) * reduction.right;
                runs.places[k - 1] = start;
            }
            return false;
        }
    }

    /// @dev The least and the greatest element of the present run, from where it starts and its stride.
    function span(Runs memory runs, int256 start, int256 stride) internal pure returns (int256 least, int256 greatest) {
        unchecked {
            int256 last = start + int256(runs.terms - 1) * stride;
            return start < last ? (start, last) : (last, start);
        }
    }
}
