// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IReferee} from "../interfaces/IReferee.sol";

/// @title Roots of trees of which only some leaves are shown; twin of `sworn.codec.openings`.
/// @dev The hashes that go with the leaves stand level by level from the leaves upwards, in each level from left to
/// right; one that follows from the leaves, or under which there is nothing but missing leaves, is not among them.
library TreeOpening {
    /// @notice The root over `count` leaves, of which `nodes[i]` stands at the rising `indices[i]`, below `count`.
    /// @dev Overwrites both lists. `siblings` is where in memory the `given` other hashes stand.
    function root(uint256 count, uint256[] memory indices, bytes32[] memory nodes, uint256 siblings, uint256 given)
        internal
        pure
        returns (bytes32)
    {
        unchecked {
            uint256 opened = indices.length;
            if (opened == 0) {
                if (given != (count == 0 ? 0 : 1)) revert IReferee.SiblingsMiscounted(given);
                return given == 0 ? bytes32(0) : _load(siblings);
            }
            uint256 next = siblings;
            uint256 end = siblings + 32 * given;
            bytes32 empty;
            for (uint256 width = count; width > 1; width = (width + 1) >> 1) {
                uint256 made;
                for (uint256 i; i < opened; ++i) {
                    uint256 index = indices[i];
                    bytes32 mine = nodes[i];
                    bytes32 other = empty;
                    if (index & 1 == 0 && i + 1 < opened && indices[i + 1] == index + 1) {
                        other = nodes[++i];
                    } else if ((index ^ 1) < width) {
                        if (next == end) revert IReferee.SiblingsMiscounted(given);
                        other = _load(next);
                        next += 32;
                    }
                    nodes[made] = index & 1 == 0 ? node(mine, other) : node(other, mine);
                    indices[made++] = index >> 1;
                }
                opened = made;
                empty = node(empty, empty);
            }
            if (next != end) revert IReferee.SiblingsMiscounted(given);
            return nodes[0];
        }
    }

    /// @notice The node over two.
    function node(bytes32 left, bytes32 right) internal pure returns (bytes32 result) {
        assembly ("memory-safe") {
            // SAFETY: the free pointer at 0x40 is put back; left and right span scratch space and its first byte.
            let free := mload(0x40)
            mstore8(0x00, 0x01)
            mstore(0x01, left)
            mstore(0x21, right)
            result := keccak256(0x00, 65)
            mstore(0x40, free)
        }
    }

    function _load(uint256 pointer) private pure returns (bytes32 value) {
        assembly ("memory-safe") {
            value := mload(pointer)
        }
    }
}
