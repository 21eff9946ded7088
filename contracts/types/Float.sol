// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @title IEEE 754 binary floats as raw bits, and wads (integers of 1e-18).
/// @dev A format is given by its exponent and fraction widths: binary32 = (8, 23), binary64 = (11, 52).
library Float {
    /// @notice Thrown when a float is NaN or infinite, or a value overflows the format or a wad.
    error FloatOutOfRange(uint256 bits);
    /// @notice Thrown when a wad is too large for the format.
    error WadOutOfRange(int256 wad);

    int256 private constant WAD = 1e18;

    /// @notice The nearest float to a wad, ties to even. Zero is +0.
    /// @dev value = wad / 1e18. The magnitude is scaled by 2^shift so that the quotient by 1e18 has `fraction + 2` or
    /// `fraction + 3` bits, all of them exact, and the remainder is kept as a sticky bit; then one rounding. A wad is at
    /// least 1e-18 > 2^-60, far above the subnormals of both formats, and |wad| < 2^255.
    function fromWad(int256 wad, uint256 exponentBits, uint256 fractionBits) internal pure returns (uint256 bits) {
        if (wad == 0) return 0;
        uint256 magnitude = wad < 0 ? uint256(-(wad + 1)) + 1 : uint256(wad);
        // 1e18 has 60 bits, so magnitude << shift over 1e18 has between fraction + 2 and fraction + 3 bits when
        // length + shift = fraction + 62.
        int256 shift = int256(fractionBits + 62) - int256(_length(magnitude));
        uint256 quotient;
        bool sticky;
        if (shift >= 0) {
            uint256 scaled = magnitude << uint256(shift);
            quotient = scaled / uint256(WAD);
            sticky = scaled % uint256(WAD) != 0;
        } else {
            uint256 divisor = uint256(WAD) << uint256(-shift);
            quotient = magnitude / divisor;
            sticky = magnitude % divisor != 0;
        }
        uint256 extra = _length(quotient) - (fractionBits + 1);
        uint256 significand = quotient >> extra;
        uint256 rest = quotient & ((1 << extra) - 1);
        uint256 half = 1 << (extra - 1);
        if (rest > half || (rest == half && (sticky || significand & 1 == 1))) ++significand;
        // A carry into the next power of two leaves an even significand; the addition below moves it to the exponent.
        int256 exponent = int256(extra) - shift + int256(fractionBits);
        uint256 biased = uint256(exponent + int256((1 << (exponentBits - 1)) - 1));
        bits = (biased << fractionBits) + (significand - (1 << fractionBits));
        if (bits >> fractionBits >= (1 << exponentBits) - 1) revert WadOutOfRange(wad);
        if (wad < 0) bits |= 1 << (exponentBits + fractionBits);
    }

    /// @notice The wad of a float, rounded toward zero.
    function toWad(uint256 bits, uint256 exponentBits, uint256 fractionBits) internal pure returns (int256 wad) {
        uint256 biased = (bits >> fractionBits) & ((1 << exponentBits) - 1);
        uint256 fraction = bits & ((1 << fractionBits) - 1);
        if (biased == (1 << exponentBits) - 1) revert FloatOutOfRange(bits);
        if (biased == 0) biased = 1;
        else fraction |= 1 << fractionBits;
        int256 exponent = int256(biased) - int256((1 << (exponentBits - 1)) - 1) - int256(fractionBits);
        uint256 scaled = fraction * uint256(WAD);
        uint256 magnitude;
        if (exponent >= 0) {
            // SAFETY: scaled has at most 113 bits; more than 254 bits do not fit a wad.
            if (scaled != 0 && int256(_length(scaled)) + exponent > 254) revert FloatOutOfRange(bits);
            magnitude = scaled << uint256(exponent);
        } else {
            magnitude = exponent < -255 ? 0 : scaled >> uint256(-exponent);
        }
        wad = int256(magnitude);
        if (bits >> (exponentBits + fractionBits) & 1 == 1) wad = -wad;
    }

    /// @notice A number that orders floats of one format as their values do; -0 = +0. NaN and infinities revert not,
    /// they lie outside the finite ones.
    function order(uint256 bits, uint256 width) internal pure returns (int256) {
        uint256 sign = 1 << (width - 1);
        return bits & sign == 0 ? int256(bits) : -int256(bits ^ sign);
    }

    function _length(uint256 value) private pure returns (uint256 bits) {
        for (uint256 step = 128; step != 0; step >>= 1) {
            if (value >> step != 0) {
                value >>= step;
                bits += step;
            }
        }
        return bits + value;
    }
}
