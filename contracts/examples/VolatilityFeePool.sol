// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

import {InferenceConsumer} from "../consumer/InferenceConsumer.sol";
import {Tensors} from "../consumer/Tensors.sol";
import {IInferenceOracle} from "../interfaces/IInferenceOracle.sol";
import {ModelId, RequestId} from "../types/Ids.sol";
import {Assurance, RequestParams} from "../types/Request.sol";

/// @title VolatilityFeePool
/// @notice A constant-product pool of two tokens whose swap fee follows a volatility model: every interval anyone may
/// record the price, and have the model forecast from the last 16 returns what liquidity providers should be paid.
/// @dev Tokens that take fees on transfer or rebase are not supported. The model takes float32 [1, 16] (returns, oldest
/// first) and gives float32 [1, 1] (volatility of the next interval).
contract VolatilityFeePool is InferenceConsumer {
    using SafeERC20 for IERC20;

    /// @notice The terms of every request that this pool makes.
    struct Policy {
        ModelId modelId;
        address operator;
        uint32 callbackGas;
        uint32 windowSeconds;
        uint32 intervalSeconds;
        uint96 valueAtRiskWei;
    }

    /// @notice Thrown when an amount is zero or more than there is.
    error AmountOutOfRange(uint256 amount, uint256 available);
    /// @notice Thrown when a swap would give less than its user accepts.
    error SlippageExceeded(uint256 amountOut, uint256 minimumOut);
    /// @notice Thrown when a token is not one of the pool's two.
    error TokenUnknown(address token);
    /// @notice Thrown when a price is recorded before the interval is over.
    error IntervalRunning(uint256 endsAt);
    /// @notice Thrown when a forecast is asked for before 17 prices are recorded.
    error HistoryTooShort(uint256 prices);

    /// @notice Emitted when the fee changes.
    event FeeChanged(uint256 feeWad, uint256 volatilityWad, RequestId requestId);
    /// @notice Emitted when a price is recorded.
    event PriceRecorded(uint256 indexed index, uint256 priceWad);
    /// @notice Emitted when somebody swaps.
    event Swapped(address indexed user, address indexed tokenIn, uint256 amountIn, uint256 amountOut, uint256 feeWad);

    uint256 public constant RETURNS = 16;
    uint256 public constant MIN_FEE_WAD = 0.0005e18;
    uint256 public constant MAX_FEE_WAD = 0.03e18;
    // Half of one interval's volatility: about what an informed trader takes from a passive provider.
    uint256 private constant FEE_PER_VOLATILITY_WAD = 0.5e18;

    IERC20 public immutable TOKEN0;
    IERC20 public immutable TOKEN1;
    ModelId public immutable MODEL_ID;
    address public immutable OPERATOR;
    uint32 public immutable CALLBACK_GAS;
    uint32 public immutable WINDOW_SECONDS;
    uint32 public immutable INTERVAL_SECONDS;
    uint96 public immutable VALUE_AT_RISK_WEI;

    uint256 public reserve0;
    uint256 public reserve1;
    uint256 public totalShares;
    mapping(address provider => uint256) public sharesOf;
    uint256 public feeWad = 0.003e18;
    // Index of the newest price that the fee reflects.
    uint256 public feeIndex;
    // Time-weighted prices of token 0 in token 1, one per interval, the newest at (prices - 1) % 17.
    uint256[17] private _priceWads;
    uint256 public prices;
    uint256 public lastPriceAt;
    // Integral of the price over time since the last recorded one, up to `_integratedAt`.
    uint256 private _priceIntegral;
    uint256 private _integratedAt;
    // When the pool first had liquidity.
    uint256 private _startedAt;

    constructor(IInferenceOracle oracle, IERC20 token0, IERC20 token1, Policy memory policy) InferenceConsumer(oracle) {
        TOKEN0 = token0;
        TOKEN1 = token1;
        MODEL_ID = policy.modelId;
        OPERATOR = policy.operator;
        CALLBACK_GAS = policy.callbackGas;
        WINDOW_SECONDS = policy.windowSeconds;
        INTERVAL_SECONDS = policy.intervalSeconds;
        VALUE_AT_RISK_WEI = policy.valueAtRiskWei;
    }

    /* LIQUIDITY */

    /// @notice Adds both tokens in the pool's proportion; the first provider sets it.
    function addLiquidity(uint256 amount0, uint256 amount1) external returns (uint256 shares) {
        if (totalShares == 0) {
            shares = Math.sqrt(amount0 * amount1);
        } else {
            shares = Math.min(amount0 * totalShares / reserve0, amount1 * totalShares / reserve1);
            amount0 = Math.ceilDiv(shares * reserve0, totalShares);
            amount1 = Math.ceilDiv(shares * reserve1, totalShares);
        }
        if (shares == 0) revert AmountOutOfRange(0, 0);
        _integratePrice();

        sharesOf[msg.sender] += shares;
        totalShares += shares;
        reserve0 += amount0;
        reserve1 += amount1;

        TOKEN0.safeTransferFrom(msg.sender, address(this), amount0);
        TOKEN1.safeTransferFrom(msg.sender, address(this), amount1);
    }

    /// @notice Takes both tokens out for shares.
    function removeLiquidity(uint256 shares) external returns (uint256 amount0, uint256 amount1) {
        uint256 owned = sharesOf[msg.sender];
        if (shares == 0 || shares > owned) revert AmountOutOfRange(shares, owned);
        amount0 = shares * reserve0 / totalShares;
        amount1 = shares * reserve1 / totalShares;
        _integratePrice();

        sharesOf[msg.sender] = owned - shares;
        totalShares -= shares;
        reserve0 -= amount0;
        reserve1 -= amount1;

        TOKEN0.safeTransfer(msg.sender, amount0);
        TOKEN1.safeTransfer(msg.sender, amount1);
    }

    /// @notice Swaps an exact amount of one token for the other at the current fee.
    function swap(IERC20 tokenIn, uint256 amountIn, uint256 minimumOut) external returns (uint256 amountOut) {
        bool zeroForOne = address(tokenIn) == address(TOKEN0);
        if (!zeroForOne && address(tokenIn) != address(TOKEN1)) revert TokenUnknown(address(tokenIn));
        if (amountIn == 0) revert AmountOutOfRange(0, 0);
        (uint256 reserveIn, uint256 reserveOut) = zeroForOne ? (reserve0, reserve1) : (reserve1, reserve0);
        uint256 effectiveIn = amountIn * (1e18 - feeWad) / 1e18;
        amountOut = effectiveIn * reserveOut / (reserveIn + effectiveIn);
        if (amountOut < minimumOut) revert SlippageExceeded(amountOut, minimumOut);
        _integratePrice();

        (reserve0, reserve1) = zeroForOne
            ? (reserveIn + amountIn, reserveOut - amountOut)
            : (reserveOut - amountOut, reserveIn + amountIn);

        emit Swapped(msg.sender, address(tokenIn), amountIn, amountOut, feeWad);

        tokenIn.safeTransferFrom(msg.sender, address(this), amountIn);
        (zeroForOne ? TOKEN1 : TOKEN0).safeTransfer(msg.sender, amountOut);
    }

    /* FORECAST */

    /// @notice Records the interval's time-weighted price, so that a trade cannot move it within a block. Anyone may.
    function recordPrice() external {
        uint256 endsAt = lastPriceAt + INTERVAL_SECONDS;
        if (block.timestamp < endsAt) revert IntervalRunning(endsAt);
        uint256 elapsed = block.timestamp - Math.max(lastPriceAt, _startedAt);
        if (elapsed == 0) revert AmountOutOfRange(0, 0);
        _integratePrice();
        uint256 priceWad = _priceIntegral / elapsed;
        if (priceWad == 0) revert AmountOutOfRange(0, 0);

        _priceIntegral = 0;
        _priceWads[prices % 17] = priceWad;
        ++prices;
        lastPriceAt = block.timestamp;

        emit PriceRecorded(prices, priceWad);
    }

    /// @notice Asks the model for the next interval's volatility; the ether sent is the operator's fee. Anyone may.
    function requestFeeUpdate() external payable returns (RequestId) {
        if (prices < RETURNS + 1) revert HistoryTooShort(prices);
        bytes memory input = Tensors.payloadOf(Tensors.float32s(returnWads(), Tensors.shape2(1, uint32(RETURNS))));
        RequestParams memory params = RequestParams({
            modelId: MODEL_ID,
            inputRoot: Tensors.rootOf(input),
            operator: OPERATOR,
            refundTo: msg.sender,
            valueAtRiskWei: VALUE_AT_RISK_WEI,
            callbackGas: CALLBACK_GAS,
            windowSeconds: WINDOW_SECONDS,
            deadline: uint40(block.timestamp + INTERVAL_SECONDS),
            assurance: Assurance.Final,
            // One question per recorded price: asked twice, the second one is refused unless its deadline differs.
            salt: bytes32(prices)
        });
        return _requestInference(params, input, msg.value);
    }

    /// @notice The last 16 returns as wads, oldest first.
    function returnWads() public view returns (int256[] memory wads) {
        wads = new int256[](RETURNS);
        for (uint256 i; i < RETURNS; ++i) {
            uint256 before = _priceWads[(prices + i) % 17];
            uint256 later = _priceWads[(prices + i + 1) % 17];
            wads[i] = int256(later * 1e18 / before) - 1e18;
        }
    }

    /// @dev Runs before every change of the reserves.
    function _integratePrice() private {
        if (reserve0 != 0) _priceIntegral += (reserve1 * 1e18 / reserve0) * (block.timestamp - _integratedAt);
        else if (_startedAt == 0) _startedAt = block.timestamp;
        _integratedAt = block.timestamp;
    }

    /// @inheritdoc InferenceConsumer
    function _onResult(RequestId requestId, bytes32 salt, bytes calldata output) internal override {
        // An answer about older prices that arrives late must not undo a newer one.
        if (uint256(salt) < feeIndex) return;
        int256 forecast = Tensors.wadAt(Tensors.tensorAt(output, 0), 0);
        uint256 volatilityWad = forecast < 0 ? 0 : Math.min(uint256(forecast), 1e18);
        uint256 fee = Math.min(MIN_FEE_WAD + volatilityWad * FEE_PER_VOLATILITY_WAD / 1e18, MAX_FEE_WAD);

        feeIndex = uint256(salt);
        feeWad = fee;

        emit FeeChanged(fee, volatilityWad, requestId);
    }
}
