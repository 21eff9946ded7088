// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IReferee} from "../interfaces/IReferee.sol";
import {BoundedFunctions} from "./BoundedFunctions.sol";
import {ElementType} from "./ElementType.sol";
import {Float32} from "./Float32.sol";
import {FloatArithmetic} from "./FloatArithmetic.sol";
import {FunctionNumber} from "./FunctionNumber.sol";
import {Claim, IRule} from "./IRule.sol";
import {Call, PointwiseBody} from "./PointwiseBody.sol";
import {Quantisation} from "./Quantisation.sol";

/// @title The referee of functions of one to three elements that need no series; twin of `sworn.referee.functions`.
/// @dev Reverts for a function that is not defined for these types or parameters, as a step that has one makes no sense.
contract PointwiseRule is IRule {
    using Float32 for uint256;

    uint256 private constant NONE = Float32.NONE;
    uint256 private constant FLOAT32 = ElementType.FLOAT32;
    uint256 private constant BOOL = ElementType.BOOL;

    /// @inheritdoc IRule
    function refutes(Claim calldata claim, bytes calldata proof) external pure returns (bool) {
        Call memory call = PointwiseBody.read(claim, proof);
        return !claim.canonical || BoundedFunctions.refutes(claim, call, _apply(call));
    }

    function _apply(Call memory call) private pure returns (uint256) {
        uint256 number = call.number;
        _require(call, FunctionNumber.takes(number, call.operands.length) && call.output != ElementType.FLOAT64);
        bool alike = true;
        for (uint256 i; i < call.dtypes.length; ++i) {
            _require(call, call.dtypes[i] != ElementType.FLOAT64);
            if (call.dtypes[i] != call.output) alike = false;
        }
        if (number >= FunctionNumber.AND && number <= FunctionNumber.NOT) return _logic(call);
        if (number == FunctionNumber.WHERE) return _where(call);
        if (number == FunctionNumber.CAST) return _cast(call);
        if (number == FunctionNumber.QUANTIZE) return _quantize(call);
        if (number == FunctionNumber.DEQUANTIZE) return _dequantize(call);
        if (number == FunctionNumber.REQUANTIZE) return _requantize(call);
        if (FunctionNumber.isComparison(number)) return _comparison(call);
        _require(call, alike);
        if (call.output == FLOAT32) return call.operands.length == 2 ? _onTwoFloats(call) : _onFloat(call);
        _require(call, ElementType.isInteger(call.output));
        return _onIntegers(call);
    }

    function _onTwoFloats(Call memory call) private pure returns (uint256) {
        (uint256 number, uint256 a, uint256 b) = (call.number, call.operands[0], call.operands[1]);
        if (number == FunctionNumber.ADD) return FloatArithmetic.add(a, b);
        if (number == FunctionNumber.SUB) return FloatArithmetic.subtract(a, b);
        if (number == FunctionNumber.MUL) return FloatArithmetic.multiply(a, b);
        if (number == FunctionNumber.DIV) return FloatArithmetic.divide(a, b);
        if (number == FunctionNumber.MIN) return FloatArithmetic.least(a, b);
        if (number == FunctionNumber.MAX) return FloatArithmetic.greatest(a, b);
        if (number == FunctionNumber.FMOD) return FloatArithmetic.remainder(a, b);
        _require(call, number == FunctionNumber.PRELU);
        return FloatArithmetic.scaleBelowZero(a, b);
    }

    function _onFloat(Call memory call) private pure returns (uint256) {
        (uint256 number, uint256 a) = (call.number, call.operands[0]);
        if (number == FunctionNumber.NEG) return FloatArithmetic.subtract(Float32.ZERO, a);
        if (number == FunctionNumber.ABS) return FloatArithmetic.magnitude(a);
        if (number == FunctionNumber.SIGN) return FloatArithmetic.sign(a);
        if (number == FunctionNumber.SQRT) return FloatArithmetic.squareRoot(a);
        if (number == FunctionNumber.RECIPROCAL) return FloatArithmetic.reciprocal(a);
        if (number == FunctionNumber.FLOOR) return FloatArithmetic.floor(a);
        if (number == FunctionNumber.CEIL) return FloatArithmetic.ceiling(a);
        if (number == FunctionNumber.ROUND) return FloatArithmetic.nearest(a);
        if (number == FunctionNumber.RELU) return FloatArithmetic.greatest(a, Float32.ZERO);
        if (number == FunctionNumber.CLIP) return FloatArithmetic.clamp(a, call.alpha, call.beta);
        if (number == FunctionNumber.HARD_SIGMOID) {
            // A NaN has no value whatever the parameters are.
            if (a.isNaN()) return NONE;
            _require(call, !call.alpha.isInfinite() && !call.beta.isInfinite());
            return FloatArithmetic.hardSigmoid(a, call.alpha, call.beta);
        }
        _require(call, number == FunctionNumber.LEAKY_RELU && !call.alpha.isInfinite());
        return FloatArithmetic.scaleBelowZero(a, call.alpha);
    }

    function _onIntegers(Call memory call) private pure returns (uint256) {
        uint256 number = call.number;
        int256 a = ElementType.decode(call.operands[0], call.output);
        int256 b = call.operands.length == 2 ? ElementType.decode(call.operands[1], call.output) : int256(0);
        int256 result;
        if (number == FunctionNumber.ADD) result = a + b;
        else if (number == FunctionNumber.SUB) result = a - b;
        else if (number == FunctionNumber.MUL) result = a * b;
        else if (number == FunctionNumber.MIN) result = a < b ? a : b;
        else if (number == FunctionNumber.MAX) result = a > b ? a : b;
        else if (number == FunctionNumber.NEG) result = -a;
        else if (number == FunctionNumber.ABS) result = a < 0 ? -a : a;
        else if (number == FunctionNumber.SIGN) result = a < 0 ? int256(-1) : a > 0 ? int256(1) : int256(0);
        else if (number == FunctionNumber.RELU) result = a > 0 ? a : int256(0);
        else if (number == FunctionNumber.CLIP) result = _clipped(call, a);
        else return _quotient(call, a, b);
        return ElementType.wrap(result, call.output);
    }

    function _quotient(Call memory call, int256 a, int256 b) private pure returns (uint256) {
        uint256 number = call.number;
        bool floored = number == FunctionNumber.MOD;
        _require(call, number == FunctionNumber.DIV || floored || number == FunctionNumber.FMOD);
        if (b == 0) return NONE;
        if (number == FunctionNumber.DIV) return ElementType.wrap(a / b, call.output);
        int256 rest = a % b;
        // The remainder has the dividend's sign; floored it has the divisor's.
        if (floored && rest != 0 && (rest < 0) != (b < 0)) rest += b;
        return ElementType.wrap(rest, call.output);
    }

    /// @dev min(max(a, alpha), beta) with integral or infinite bounds; an infinite bound bounds nothing.
    function _clipped(Call memory call, int256 value) private pure returns (int256) {
        (bool hasLower, int256 lower) = Quantisation.integralBound(call.alpha, call.output);
        (bool hasUpper, int256 upper) = Quantisation.integralBound(call.beta, call.output);
        _require(call, hasLower && hasUpper);
        if (value < lower) value = lower;
        return value > upper ? upper : value;
    }

    function _comparison(Call memory call) private pure returns (uint256) {
        uint256 dtype = call.dtypes[0];
        _require(call, call.output == BOOL && dtype == call.dtypes[1]);
        _require(call, call.number == FunctionNumber.EQUAL || dtype != BOOL);
        (uint256 a, uint256 b) = (call.operands[0], call.operands[1]);
        bool float = dtype == FLOAT32;
        if (float && (a.isNaN() || b.isNaN())) return NONE;
        (int256 left, int256 right) =
            float ? (a.orderKey(), b.orderKey()) : (ElementType.decode(a, dtype), ElementType.decode(b, dtype));
        return FunctionNumber.compare(call.number, left, right) ? 1 : 0;
    }

    function _logic(Call memory call) private pure returns (uint256) {
        bool a = call.operands[0] != 0;
        bool b = call.operands.length == 2 && call.operands[1] != 0;
        _require(call, call.output == BOOL && call.dtypes[0] == BOOL && call.dtypes[call.dtypes.length - 1] == BOOL);
        bool result = a != b;
        if (call.number == FunctionNumber.NOT) result = !a;
        else if (call.number == FunctionNumber.AND) result = a && b;
        else if (call.number == FunctionNumber.OR) result = a || b;
        return result ? 1 : 0;
    }

    function _where(Call memory call) private pure returns (uint256) {
        uint256 output = call.output;
        _require(call, call.dtypes[0] == BOOL && call.dtypes[1] == output && call.dtypes[2] == output);
        uint256 b = call.operands[1].canonical(output);
        uint256 c = call.operands[2].canonical(output);
        // A NaN has no value, also where the other is taken.
        if (b == NONE || c == NONE) return NONE;
        return call.operands[0] != 0 ? b : c;
    }

    function _cast(Call memory call) private pure returns (uint256) {
        (uint256 bits, uint256 source, uint256 output) = (call.operands[0], call.dtypes[0], call.output);
        if (source == FLOAT32 && ElementType.isInteger(output)) return Quantisation.truncate(bits, output);
        bits = bits.canonical(source);
        if (output == source || bits == NONE) return bits;
        if (output == BOOL) return bits != 0 ? 1 : 0;
        int256 value = ElementType.decode(bits, source);
        return output == FLOAT32 ? Float32.round(value, 0) : ElementType.wrap(value, output);
    }

    function _quantize(Call memory call) private pure returns (uint256) {
        _require(call, call.dtypes[0] == FLOAT32 && call.dtypes[1] == FLOAT32 && ElementType.isQuantized(call.output));
        return Quantisation.quantize(call.operands[0], call.operands[1], _zero(call, call.output), call.output);
    }

    function _dequantize(Call memory call) private pure returns (uint256) {
        uint256 source = call.dtypes[0];
        _require(call, call.output == FLOAT32 && call.dtypes[1] == FLOAT32);
        _require(call, ElementType.isQuantized(source) || source == ElementType.INT32);
        int256 difference = ElementType.decode(call.operands[0], source) - _zero(call, source);
        return Quantisation.dequantize(difference, call.operands[1]);
    }

    function _requantize(Call memory call) private pure returns (uint256) {
        _require(call, call.dtypes[0] == ElementType.INT32 && call.dtypes[1] == FLOAT32);
        _require(call, ElementType.isQuantized(call.output));
        uint256 accumulated = Float32.round(ElementType.decode(call.operands[0], ElementType.INT32), 0);
        uint256 product = FloatArithmetic.multiply(accumulated, call.operands[1]);
        return product == NONE ? NONE : Quantisation.saturateFloat(product, _zero(call, call.output), call.output);
    }

    /// @dev The zero point, of a type that it has to have; 0 where there is none.
    function _zero(Call memory call, uint256 dtype) private pure returns (int256) {
        if (call.operands.length < 3) return 0;
        _require(call, call.dtypes[2] == dtype);
        return ElementType.decode(call.operands[2], dtype);
    }

    function _require(Call memory call, bool condition) private pure {
        if (!condition) revert IReferee.FunctionUndefined(call.number);
    }
}
