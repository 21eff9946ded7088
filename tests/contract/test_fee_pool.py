from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from math import isqrt

import numpy as np
import pytest
from tests.support.accounts import Account
from tests.support.assertions import assert_emitted, assert_silent, reverts
from tests.support.fee_market import (
    INTERVAL_S,
    RESERVE0,
    RESERVE1,
    RETURNS,
    START_FEE_WAD,
    WEALTH,
    Market,
    amount_out,
    open_market,
)
from tests.support.ieee754 import WAD
from tests.support.scene import FEE_WEI, Scene

from sworn.codec.tensors import encode_payload
from sworn.types import ZERO_HASH, CallbackKind, Status

MIN_FEE_WAD = WAD // 2000
MAX_FEE_WAD = 3 * WAD // 100


@pytest.fixture
def market(scene: Scene, deployer: Account) -> Market:
    """A pool with liquidity at a price of 4."""
    return open_market(scene, deployer=deployer)


def fee_wad(volatility: float) -> int:
    """The fee for a forecast within the clamp."""
    numerator, denominator = float(np.float32(volatility)).as_integer_ratio()
    return MIN_FEE_WAD + numerator * WAD // denominator // 2


def test_first_liquidity_sets_price(market: Market) -> None:
    """The first provider gets the geometric mean of its amounts as shares."""
    assert market.pool.call("sharesOf", market.provider) == isqrt(RESERVE0 * RESERVE1)
    assert market.reserves() == (RESERVE0, RESERVE1)
    assert market.tokens[0].call("balanceOf", market.pool) == RESERVE0
    assert market.tokens[1].call("balanceOf", market.pool) == RESERVE1


def test_later_liquidity_keeps_price(market: Market) -> None:
    """A later provider gives both tokens in the pool's proportion, whatever it offers too much of."""
    shares = market.provide(10 * WAD, 10**6 * WAD, by=market.trader)

    assert shares == isqrt(RESERVE0 * RESERVE1) // 100
    assert market.reserves() == (RESERVE0 + 10 * WAD, RESERVE1 + 40 * WAD)
    assert market.tokens[1].call("balanceOf", market.trader) == WEALTH - 40 * WAD


def test_liquidity_comes_back_with_fees(market: Market) -> None:
    """Who takes out all shares gets everything, the traders' fees included."""
    market.swap(0, 100 * WAD)
    reserves = market.reserves()

    receipt = market.pool.send("removeLiquidity", market.pool.call("sharesOf", market.provider), by=market.provider)

    assert receipt.returned == reserves
    assert reserves[0] * reserves[1] > RESERVE0 * RESERVE1
    assert market.reserves() == (0, 0) and market.pool.call("totalShares") == 0
    assert [token.call("balanceOf", market.pool) for token in market.tokens] == [0, 0]


def test_liquidity_rounding_favours_pool(market: Market) -> None:
    """Adding and removing at once never gains anything, however odd the amounts."""
    market.swap(1, 7 * WAD + 1)
    for offered in (3, 1001, 10**9 + 7):
        before = [token.call("balanceOf", market.trader) for token in market.tokens]
        shares = market.provide(offered, 5 * offered, by=market.trader)
        market.pool.send("removeLiquidity", shares, by=market.trader)
        after = [token.call("balanceOf", market.trader) for token in market.tokens]
        assert after[0] <= before[0] and after[1] <= before[1]


def test_liquidity_of_nothing_reverts(market: Market) -> None:
    """Amounts too small for a share are refused, and so are shares that nobody owns."""
    with reverts("AmountOutOfRange"):
        market.pool.call("addLiquidity", 0, WAD, by=market.trader)
    with reverts("AmountOutOfRange"):
        market.pool.call("removeLiquidity", 0, by=market.provider)
    with reverts("AmountOutOfRange", amount=1, available=0):
        market.pool.call("removeLiquidity", 1, by=market.trader)


@pytest.mark.parametrize("amount_in", [1, 12345, WAD, 999 * WAD + 1, 10**6 * WAD])
@pytest.mark.parametrize("index", [0, 1])
def test_swap_follows_constant_product(market: Market, index: int, amount_in: int) -> None:
    """A swap gives the constant product's amount after the fee, and the product never shrinks."""
    reserve_in, reserve_out = market.reserves() if index == 0 else market.reserves()[::-1]
    expected = amount_out(amount_in, reserve_in=reserve_in, reserve_out=reserve_out)

    receipt = market.swap(index, amount_in, minimum=expected)

    assert_emitted(receipt, "Swapped", user=market.trader, amount_in=amount_in, amount_out=expected)
    after = market.reserves() if index == 0 else market.reserves()[::-1]
    assert after == (reserve_in + amount_in, reserve_out - expected)
    assert after[0] * after[1] >= reserve_in * reserve_out
    assert market.tokens[1 - index].call("balanceOf", market.trader) == WEALTH + expected


def test_swap_beyond_slippage_reverts(market: Market) -> None:
    """Who asks for one unit more than there is gets nothing done."""
    expected = amount_out(WAD, reserve_in=RESERVE0, reserve_out=RESERVE1)

    with reverts("SlippageExceeded", amount_out=expected, minimum_out=expected + 1):
        market.swap(0, WAD, minimum=expected + 1)


def test_swap_of_nothing_or_other_token_reverts(market: Market, scene: Scene) -> None:
    """Only the pool's two tokens are swapped, and only amounts above zero."""
    with reverts("AmountOutOfRange"):
        market.swap(0, 0)
    with reverts("TokenUnknown", token=scene.system.oracle):
        market.pool.call("swap", scene.system.oracle, WAD, 0, by=market.trader)


def test_recorded_price_is_time_weighted(market: Market) -> None:
    """The recorded price is the mean over the interval, each price weighted with the time for which it stood."""
    chain = market.scene.chain
    first = market.record()
    assert first == 4 * WAD
    start, before = chain.now - 1, market.spot_wad()
    chain.travel(to=start + 1000)
    market.swap(0, 500 * WAD)
    after = market.spot_wad()
    chain.travel(to=start + INTERVAL_S)

    assert market.record() == (before * 1000 + after * (INTERVAL_S - 1000)) // INTERVAL_S


def test_price_moved_within_a_block_counts_nothing(market: Market, scene: Scene, deployer: Account) -> None:
    """A trade in the very second of the recording, as by a flash loan, leaves the recorded price as it was."""
    market.record()
    trader = scene.chain.deploy("OneBlockTrader", by=deployer)
    scene.chain.travel(to=int(market.pool.call("lastPriceAt")) + INTERVAL_S)

    arguments = (market.pool, market.tokens[1], market.tokens[0], 10**6 * WAD)
    receipt = trader.send("manipulate", *arguments, by=market.trader)

    assert_emitted(receipt, "PriceRecorded", price_wad=4 * WAD)
    assert trader.call("movedPriceWad") > 10**5 * WAD


def test_price_before_end_of_interval_reverts(market: Market) -> None:
    """One price per interval."""
    market.record()
    ends_at = market.pool.call("lastPriceAt") + INTERVAL_S
    market.scene.chain.travel(to=ends_at - 1)

    with reverts("IntervalRunning", ends_at=ends_at):
        market.pool.call("recordPrice", by=market.trader)


def test_price_of_pool_without_liquidity_reverts(scene: Scene, deployer: Account) -> None:
    """A pool that never had liquidity has no price."""
    unfunded = open_market(scene, deployer=deployer)
    unfunded.pool.send("removeLiquidity", unfunded.pool.call("sharesOf", unfunded.provider), by=unfunded.provider)
    scene.chain.travel(to=scene.chain.now + INTERVAL_S)
    unfunded.pool.send("recordPrice", by=unfunded.trader)
    scene.chain.travel(to=scene.chain.now + INTERVAL_S)

    with reverts("AmountOutOfRange"):
        unfunded.pool.call("recordPrice", by=unfunded.trader)


@pytest.mark.parametrize("count", [17, 36])
def test_returns_are_those_of_last_seventeen_prices(market: Market, count: int) -> None:
    """However many prices are recorded, the 16 newest returns are read, oldest first."""
    prices = market.record_history(count)[-RETURNS - 1 :]

    expected = [after * WAD // before - WAD for before, after in pairwise(prices)]
    assert list(market.pool.call("returnWads")) == expected
    assert len(set(expected)) > RETURNS // 2


def test_fee_update_before_seventeen_prices_reverts(market: Market) -> None:
    """Sixteen prices are one too few."""
    market.record_history(RETURNS)

    with reverts("HistoryTooShort", prices=RETURNS):
        market.pool.call("requestFeeUpdate", by=market.trader)


def test_fee_update_asks_once_per_moment(market: Market, scene: Scene) -> None:
    """The request carries the returns as float32 [1, 16]; the same question in the same second is refused."""
    market.record_history()
    wads = market.pool.call("returnWads")

    receipt = market.pool.send("requestFeeUpdate", by=market.trader, value_wei=FEE_WEI)

    floats = np.array([[wad / WAD for wad in wads]], dtype=np.float32)
    assert_emitted(receipt, "InferenceRequested", input=encode_payload([floats]))
    scene.chain.now = receipt.timestamp
    with reverts("RequestExists", request_id=receipt.returned):
        market.pool.call("requestFeeUpdate", by=market.trader, value_wei=FEE_WEI)


@pytest.mark.parametrize("volatility", [0.0, 0.001, 0.01, 0.058])
def test_forecast_sets_fee(market: Market, scene: Scene, volatility: float) -> None:
    """The fee becomes the minimum plus half the forecast volatility, and the next swap pays it."""
    market.record_history()
    request = market.ask()

    receipt = scene.complete(request, market.answer(volatility))

    assert scene.state_of(request).status is Status.FINALIZED
    assert_emitted(receipt, "FeeChanged", fee_wad=fee_wad(volatility), request_id=scene.id_of(request))
    reserves = market.reserves()
    out = amount_out(WAD, reserve_in=reserves[0], reserve_out=reserves[1], fee_wad=fee_wad(volatility))
    assert market.swap(0, WAD).returned == out


@pytest.mark.parametrize(("forecast", "fee"), [(-0.5, MIN_FEE_WAD), (0.06, MAX_FEE_WAD), (1e30, MAX_FEE_WAD)])
def test_forecast_beyond_reason_is_clamped(market: Market, scene: Scene, forecast: float, fee: int) -> None:
    """Whatever the model says, the fee stays between its limits."""
    market.record_history()

    scene.complete(market.ask(), market.answer(forecast))

    assert market.pool.call("feeWad") == fee


def test_unreadable_forecast_leaves_fee(market: Market, scene: Scene) -> None:
    """A forecast that is no number fails in the callback, and the old fee stays."""
    market.record_history()
    answer = market.answer(0.0)
    broken = replace(answer, output=answer.output[:-4] + b"\x7f\xc0\x00\x00")

    receipt = scene.complete(market.ask(), broken)

    assert_emitted(receipt, "CallbackFailed", kind=CallbackKind.FINAL)
    assert market.pool.call("feeWad") == START_FEE_WAD


def test_stale_forecast_is_ignored(market: Market, scene: Scene) -> None:
    """An answer about older prices that becomes final after a newer one does not undo it."""
    market.record_history()
    older = market.ask()
    scene.propose(older, market.answer(0.05))
    market.record()
    newer = market.ask()
    scene.complete(newer, market.answer(0.01))

    receipt = scene.finalize(older, market.answer(0.05))

    assert_silent(receipt, "FeeChanged", "CallbackFailed")
    assert market.pool.call("feeWad") == fee_wad(0.01)
    assert market.pool.call("feeIndex") == RETURNS + 2


def test_failed_forecast_leaves_fee(market: Market, scene: Scene) -> None:
    """When the operator fails, the fee stays and whoever asked is refunded."""
    market.record_history()
    request = market.ask()

    receipt = scene.fail(request)

    assert_silent(receipt, "FeeChanged", "CallbackFailed")
    assert market.pool.call("feeWad") == START_FEE_WAD
    assert scene.credit_of(market.trader) == FEE_WEI


def test_callback_by_trader_reverts(market: Market) -> None:
    """Nobody but the oracle sets the fee."""
    arguments = (ZERO_HASH, (2**200).to_bytes(32), ZERO_HASH, 0, True, market.answer(0.0).output)

    with reverts("CallerNotOracle", caller=market.trader):
        market.pool.call("onInferenceResult", *arguments, by=market.trader)
