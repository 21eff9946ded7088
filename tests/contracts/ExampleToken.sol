// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @title A token of which everyone may make as much as a test needs.
contract ExampleToken is ERC20 {
    constructor() ERC20("Example", "EX") {}

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }
}
