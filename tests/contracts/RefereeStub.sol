// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IReferee} from "../../contracts/interfaces/IReferee.sol";

/// @title Believes every proof about the right statement; the version says whether it shows a fault.
contract RefereeStub is IReferee {
    /// @inheritdoc IReferee
    function check(bytes32 statement, bytes calldata proof) external pure returns (bool faulty) {
        bytes32 stated = bytes32(proof[293:325]);
        if (stated != statement) revert StatementDiffers(statement, stated);
        return proof[0] == 0x01;
    }
}
