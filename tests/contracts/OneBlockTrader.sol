// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {VolatilityFeePool} from "../../contracts/examples/VolatilityFeePool.sol";
import {ExampleToken} from "./ExampleToken.sol";

/// @title Moves a pool's price, has it recorded, and moves it back, all in one transaction.
contract OneBlockTrader {
    uint256 public movedPriceWad;

    function manipulate(VolatilityFeePool pool, ExampleToken tokenIn, ExampleToken tokenOut, uint256 amountIn)
        external
    {
        tokenIn.mint(address(this), amountIn);
        tokenIn.approve(address(pool), amountIn);
        uint256 bought = pool.swap(tokenIn, amountIn, 0);
        movedPriceWad = pool.reserve1() * 1e18 / pool.reserve0();
        pool.recordPrice();
        tokenOut.approve(address(pool), bought);
        pool.swap(tokenOut, bought, 0);
    }
}
