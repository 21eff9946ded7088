"""`VolatilityFeePool` with its tokens and people, and answers of a volatility model that tests choose."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from tests.support.accounts import Account
from tests.support.chain import Contract, TransactionReceipt
from tests.support.ieee754 import WAD
from tests.support.scene import FEE_WEI, Scene
from tests.support.system import ETHER

from sworn.codec.tensors import encode_payload
from sworn.codec.trees import payload_root
from sworn.types import Answer, Profile, Request

WINDOW_S = 600
INTERVAL_S = 3600
CALLBACK_GAS = 200_000
VALUE_AT_RISK_WEI = ETHER // 20
RETURNS = 16
#: What everyone owns of each token.
WEALTH = 10**9 * WAD
#: The first provider's deposit: a price of 4.
RESERVE0, RESERVE1 = 1000 * WAD, 4000 * WAD
START_FEE_WAD = 3 * WAD // 1000


def amount_out(amount_in: int, *, reserve_in: int, reserve_out: int, fee_wad: int = START_FEE_WAD) -> int:
    """What a swap gives, in the integer arithmetic of the pool."""
    effective = amount_in * (WAD - fee_wad) // WAD
    return effective * reserve_out // (reserve_in + effective)


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """A pool, its two tokens and the usual moves."""

    scene: Scene
    pool: Contract
    tokens: tuple[Contract, Contract]
    provider: Account
    trader: Account

    def provide(self, amount0: int, amount1: int, *, by: Account | None = None) -> int:
        """Adds liquidity: the shares received."""
        return int(self.pool.send("addLiquidity", amount0, amount1, by=by or self.provider).returned)

    def swap(self, index: int, amount_in: int, *, minimum: int = 0) -> TransactionReceipt:
        """Sells an amount of token ``index`` for the other one."""
        return self.pool.send("swap", self.tokens[index], amount_in, minimum, by=self.trader)

    def reserves(self) -> tuple[int, int]:
        """What the pool holds for its providers."""
        return int(self.pool.call("reserve0")), int(self.pool.call("reserve1"))

    def spot_wad(self) -> int:
        """The price of token 0 in token 1 now."""
        reserve0, reserve1 = self.reserves()
        return reserve1 * WAD // reserve0

    def record(self) -> int:
        """Records the price as soon as the interval is over: the price."""
        chain = self.scene.chain
        chain.travel(to=max(chain.now, int(self.pool.call("lastPriceAt")) + INTERVAL_S))
        receipt = self.pool.send("recordPrice", by=self.trader)
        return next(int(event.arguments["priceWad"]) for event in receipt.events if event.name == "PriceRecorded")

    def record_history(self, count: int = RETURNS + 1) -> list[int]:
        """Records so many prices, with a trade in every interval."""
        recorded = []
        for index in range(count):
            self.swap(index % 2, (10 + 3 * index) * WAD)
            self.scene.chain.travel(to=self.scene.chain.now + INTERVAL_S)
            recorded.append(self.record())
        return recorded

    def ask(self) -> Request:
        """Asks for a new fee: the request behind it."""
        wads = self.pool.call("returnWads")
        receipt = self.pool.send("requestFeeUpdate", by=self.trader, value_wei=FEE_WEI)
        floats = np.array([[wad / WAD for wad in wads]], dtype=np.float32)
        return self.scene.make_request(
            profile=Profile.SIGNED,
            input_root=payload_root(encode_payload([floats])),
            requester=self.pool.address,
            refund_to=self.trader.address,
            value_at_risk_wei=VALUE_AT_RISK_WEI,
            callback_gas=CALLBACK_GAS,
            window_s=WINDOW_S,
            deadline=receipt.timestamp + INTERVAL_S,
            salt=int(self.pool.call("prices")).to_bytes(32),
        )

    def answer(self, volatility: float) -> Answer:
        """An answer with that forecast."""
        output = encode_payload([np.array([[volatility]], dtype=np.float32)])
        return replace(self.scene.make_answer(), output=output)


def open_market(scene: Scene, *, deployer: Account) -> Market:
    """A pool with liquidity at a price of 4, and a trader rich in both tokens."""
    chain, cast = scene.chain, scene.cast
    tokens = (chain.deploy("ExampleToken", by=deployer), chain.deploy("ExampleToken", by=deployer))
    model_id, operator = cast.models[Profile.SIGNED], cast.operator.address
    policy = (model_id, operator, CALLBACK_GAS, WINDOW_S, INTERVAL_S, VALUE_AT_RISK_WEI)
    pool = chain.deploy("VolatilityFeePool", scene.system.oracle, *tokens, policy, by=deployer)
    for owner in (cast.challenger, cast.requester):
        for token in tokens:
            token.send("mint", owner, WEALTH, by=deployer)
            token.send("approve", pool, 2**256 - 1, by=owner)
    market = Market(scene=scene, pool=pool, tokens=tokens, provider=cast.challenger, trader=cast.requester)
    market.provide(RESERVE0, RESERVE1)
    return market
