// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @title Functions of one to three elements; numbers of `sworn.model.program.Function`.
library FunctionNumber {
    uint256 internal constant ADD = 1;
    uint256 internal constant SUB = 2;
    uint256 internal constant MUL = 3;
    uint256 internal constant DIV = 4;
    uint256 internal constant MIN = 5;
    uint256 internal constant MAX = 6;
    uint256 internal constant MOD = 7;
    uint256 internal constant FMOD = 8;
    uint256 internal constant POW = 9;
    uint256 internal constant NEG = 16;
    uint256 internal constant ABS = 17;
    uint256 internal constant SIGN = 18;
    uint256 internal constant SQRT = 19;
    uint256 internal constant RECIPROCAL = 20;
    uint256 internal constant FLOOR = 21;
    uint256 internal constant CEIL = 22;
    uint256 internal constant ROUND = 23;
    uint256 internal constant EXP = 32;
    uint256 internal constant LOG = 33;
    uint256 internal constant TANH = 34;
    uint256 internal constant SIGMOID = 35;
    uint256 internal constant ERF = 36;
    uint256 internal constant SOFTPLUS = 37;
    uint256 internal constant ELU = 38;
    uint256 internal constant HARD_SIGMOID = 39;
    uint256 internal constant LEAKY_RELU = 40;
    uint256 internal constant PRELU = 41;
    uint256 internal constant RELU = 42;
    uint256 internal constant CLIP = 43;
    uint256 internal constant SIN = 44;
    uint256 internal constant COS = 45;
    uint256 internal constant EQUAL = 64;
    uint256 internal constant LESS = 65;
    uint256 internal constant LESS_OR_EQUAL = 66;
    uint256 internal constant GREATER = 67;
    uint256 internal constant GREATER_OR_EQUAL = 68;
    uint256 internal constant AND = 69;
    uint256 internal constant OR = 70;
    uint256 internal constant XOR = 71;
    uint256 internal constant NOT = 72;
    uint256 internal constant WHERE = 73;
    uint256 internal constant CAST = 80;
    uint256 internal constant QUANTIZE = 81;
    uint256 internal constant DEQUANTIZE = 82;
    uint256 internal constant REQUANTIZE = 83;

    // Bit n is set where n is a function.
    uint256 private constant KNOWN = 0x3fe | 0xff << 16 | 0x3fff << 32 | 0x3ff << 64 | 0xf << 80;
    uint256 private constant REAL = 1 << POW | 0x7f << EXP | 1 << SIN | 1 << COS;

    function isKnown(uint256 number) internal pure returns (bool) {
        return KNOWN >> number & 1 == 1;
    }

    /// @dev Whether a function is judged by `RealFunctionRule`.
    function isReal(uint256 number) internal pure returns (bool) {
        return REAL >> number & 1 == 1;
    }

    function isComparison(uint256 number) internal pure returns (bool) {
        return number >= EQUAL && number <= GREATER_OR_EQUAL;
    }

    /// @dev Whether a comparison of two order keys holds; false for another function.
    function compare(uint256 number, int256 left, int256 right) internal pure returns (bool) {
        if (number == EQUAL) return left == right;
        if (number == LESS) return left < right;
        if (number == LESS_OR_EQUAL) return left <= right;
        if (number == GREATER) return left > right;
        return number == GREATER_OR_EQUAL && left >= right;
    }

    /// @dev Whether a function may have so many operands.
    function takes(uint256 number, uint256 operands) internal pure returns (bool) {
        if (number == WHERE) return operands == 3;
        if (number >= QUANTIZE) return operands == 2 || operands == 3;
        bool two = (number >= ADD && number <= FMOD) || number == PRELU || (number >= EQUAL && number <= XOR);
        return operands == (two ? 2 : 1);
    }
}
