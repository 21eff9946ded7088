// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @dev Where a request stands. Ids are single-use: a slot never returns to `None`.
enum Status {
    // Never requested.
    None,
    // Waiting for a result; also after a refuted result when others may still answer.
    Requested,
    // A signed result is in its challenge window.
    Proposed,
    // The result stands and the operator has been paid.
    Finalized,
    // Nobody answered in time; refunded.
    Expired,
    // The named operator signed a typed failure; refunded.
    Failed,
    // The named operator's result was proven false, or it swore two answers; refunded.
    Refuted,
    // The proposed result is under challenge.
    Disputed
}

/// @dev The callback that has not succeeded yet.
enum CallbackKind {
    None,
    Provisional,
    Final,
    Failed,
    Refuted
}

/// @dev A request's storage, unpacked.
struct RequestState {
    Status status;
    CallbackKind pending;
    // Number of refuted results so far; saturates at 127.
    uint8 round;
    // Whether a conviction has barred any operator from this request.
    bool hasBarred;
    // Time spent on refuted results; the effective deadline is request.deadline + extensionSeconds.
    uint32 extensionSeconds;
    // When the current result was proposed; its window ends at proposedAt + request.windowSeconds.
    uint40 proposedAt;
    // First 20 bytes of the current ResultId; for `Failed`, the failure code in the last byte.
    bytes20 resultTag;
}

/// @dev One slot per request:
///
///   | 160 resultTag | 40 proposedAt | 32 extensionSeconds | 1 hasBarred | 7 round | 8 pending | 8 status |
type PackedRequestState is uint256;

using RequestStateLibrary for RequestState global;
using RequestStateLibrary for PackedRequestState global;

library RequestStateLibrary {
    // Seven bits.
    uint8 internal constant MAX_ROUND = 127;

    /// @notice The slot's word.
    function pack(RequestState memory state) internal pure returns (PackedRequestState) {
        return PackedRequestState.wrap(
            uint256(state.status) | uint256(state.pending) << 8 | uint256(state.round) << 16
                | (state.hasBarred ? 1 << 23 : 0) | uint256(state.extensionSeconds) << 24 | uint256(state.proposedAt)
                << 56 | uint256(uint160(state.resultTag)) << 96
        );
    }

    /// @notice The fields of a slot's word.
    function unpack(PackedRequestState packed) internal pure returns (RequestState memory state) {
        uint256 word = PackedRequestState.unwrap(packed);
        // SAFETY: `pack` wrote every field, so the enums are in range.
        state.status = Status(uint8(word));
        state.pending = CallbackKind(uint8(word >> 8));
        state.round = uint8(word >> 16) & MAX_ROUND;
        state.hasBarred = word >> 23 & 1 == 1;
        state.extensionSeconds = uint32(word >> 24);
        state.proposedAt = uint40(word >> 56);
        state.resultTag = bytes20(uint160(word >> 96));
    }

    /// @notice One field of a slot's word.
    function status(PackedRequestState packed) internal pure returns (Status) {
        return Status(uint8(PackedRequestState.unwrap(packed)));
    }

    /// @notice One field of a slot's word.
    function proposedAt(PackedRequestState packed) internal pure returns (uint256) {
        return uint40(PackedRequestState.unwrap(packed) >> 56);
    }

    /// @notice One field of a slot's word.
    function resultTag(PackedRequestState packed) internal pure returns (bytes20) {
        return bytes20(uint160(PackedRequestState.unwrap(packed) >> 96));
    }

    /// @notice The word with another status.
    function withStatus(PackedRequestState packed, Status changed) internal pure returns (PackedRequestState) {
        return PackedRequestState.wrap(PackedRequestState.unwrap(packed) >> 8 << 8 | uint256(changed));
    }
}
