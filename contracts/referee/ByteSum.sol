// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @title Exact sums of products of bytes, 32 pairs at a time.
/// @dev Every fourth byte of a word makes eight lanes of 32 bits. With the lanes of one side reversed, the top lane of
/// the product of two such words is the sum of the eight products, as what lies above wraps away. Products of whole
/// words are added up, and the top lane is read once. No lane carries into the next: the sum of all products, and of
/// all that stand in another lane, is at most 8,192 * 255 * 255 < 2^32 there, as a term is in one word.
library ByteSum {
    uint256 private constant TOP = 224;

    /// @dev Sums so far: of the products, and of both sides' bytes, each in lanes.
    struct Sums {
        uint256 products;
        uint256 left;
        uint256 right;
    }

    /// @dev Adds 32 pairs of bytes, and the bytes of either side.
    function add(Sums memory sums, uint256 left, uint256 right) internal pure {
        assembly ("memory-safe") {
            // Eight lanes in reverse: halves change places, then their halves, then theirs.
            let turned := or(shr(128, right), shl(128, right))
            turned := or(
                and(shr(64, turned), 0x0000000000000000ffffffffffffffff0000000000000000ffffffffffffffff),
                shl(64, and(turned, 0x0000000000000000ffffffffffffffff0000000000000000ffffffffffffffff))
            )
            turned := or(
                and(shr(32, turned), 0x00000000ffffffff00000000ffffffff00000000ffffffff00000000ffffffff),
                shl(32, and(turned, 0x00000000ffffffff00000000ffffffff00000000ffffffff00000000ffffffff))
            )
            let x := and(left, 0x000000ff000000ff000000ff000000ff000000ff000000ff000000ff000000ff)
            let y := and(turned, 0x000000ff000000ff000000ff000000ff000000ff000000ff000000ff000000ff)
            let raw := mul(x, y)
            let xs := x
            let ys := y
            x := and(shr(8, left), 0x000000ff000000ff000000ff000000ff000000ff000000ff000000ff000000ff)
            y := and(shr(8, turned), 0x000000ff000000ff000000ff000000ff000000ff000000ff000000ff000000ff)
            raw := add(raw, mul(x, y))
            xs := add(xs, x)
            ys := add(ys, y)
            x := and(shr(16, left), 0x000000ff000000ff000000ff000000ff000000ff000000ff000000ff000000ff)
            y := and(shr(16, turned), 0x000000ff000000ff000000ff000000ff000000ff000000ff000000ff000000ff)
            raw := add(raw, mul(x, y))
            xs := add(xs, x)
            ys := add(ys, y)
            x := and(shr(24, left), 0x000000ff000000ff000000ff000000ff000000ff000000ff000000ff000000ff)
            y := and(shr(24, turned), 0x000000ff000000ff000000ff000000ff000000ff000000ff000000ff000000ff)
            mstore(sums, add(mload(sums), add(raw, mul(x, y))))
            mstore(add(sums, 0x20), add(mload(add(sums, 0x20)), add(xs, x)))
            mstore(add(sums, 0x40), add(mload(add(sums, 0x40)), add(ys, y)))
        }
    }

    /// @dev The sum of all products.
    function ofProducts(Sums memory sums) internal pure returns (int256) {
        return int256(sums.products >> TOP);
    }

    /// @dev The sum of eight lanes.
    function total(uint256 lanes) internal pure returns (int256) {
        unchecked {
            // A product with ones sums all lanes into the top one.
            return int256((lanes * 0x0000000100000001000000010000000100000001000000010000000100000001) >> TOP);
        }
    }
}
