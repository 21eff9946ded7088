"""Settings of guards: what is not answered although a model's terms would allow it."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sworn.types import Address
from sworn.watcher.policy import Guards
from sworn.watcher.settings_values import AddressText, Amount, HashText

_STRICT = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class GuardSettings(BaseModel):
    """Read again on SIGHUP, together with nothing else."""

    model_config = _STRICT

    #: Fee minus estimated cost must reach this; negative accepts losses.
    min_profit_wei: Annotated[int, Field(gt=-(2**256), lt=2**256)] = 0
    #: Set aside from every fee for the disputes that some results lead to.
    dispute_reserve_wei: Amount = 0
    #: How many results usually share a transaction; costs are reckoned with it.
    expected_batch: Annotated[int, Field(ge=1, le=1000)] = 1
    max_input_bytes: Annotated[int, Field(ge=1, le=64 << 20)] = 1 << 20
    #: Seconds that must be left until the deadline.
    min_time_left_s: Annotated[int, Field(ge=0)] = 30
    #: Requesters that are served, accounts or contracts; empty = all.
    allow_requesters: tuple[AddressText, ...] = ()
    deny_requesters: tuple[AddressText, ...] = ()
    #: Models that are served but not now.
    deny_models: tuple[HashText, ...] = ()
    #: Hosts from which inputs given by reference are fetched; empty = such requests are not answered.
    input_hosts: tuple[str, ...] = ()
    #: Whether signed failures are sent; they cost gas and earn nothing.
    post_failures: bool = True
    #: Bonds of all results that are not final yet; None = as far as the stake goes.
    max_bonds_wei: Amount | None = None
    #: Bonds and number of such results for one requester.
    max_requester_bonds_wei: Amount | None = None
    max_requester_open: Annotated[int, Field(ge=1)] | None = None
    #: Balance of the key that sends below which somebody is told.
    min_balance_wei: Amount = 0
    #: Balance at which nothing new is taken; results, disputes and payments under way go on.
    pause_balance_wei: Amount = 0
    #: Runs that break a limit or take their worker down, after which an input, or all of a requester, is left alone.
    max_input_crashes: Annotated[int, Field(ge=1)] = 2
    max_requester_crashes: Annotated[int, Field(ge=1)] = 10
    #: Seconds for which it is.
    quarantine_s: Annotated[float, Field(gt=0)] = 86_400.0

    @model_validator(mode="after")
    def _ordered(self) -> GuardSettings:
        if 0 < self.min_balance_wei < self.pause_balance_wei:
            raise ValueError("guards.pause_balance_wei is above guards.min_balance_wei: nobody would be told before")
        return self

    @property
    def guards(self) -> Guards:
        """As the policy takes them."""
        same = {name: getattr(self, name) for name in type(self).model_fields if name not in _CONVERTED}
        return Guards(
            **same,
            allow_requesters=frozenset(map(Address, self.allow_requesters)),
            deny_requesters=frozenset(map(Address, self.deny_requesters)),
            deny_models=frozenset(bytes.fromhex(text.removeprefix("0x")) for text in self.deny_models),
            input_hosts=frozenset(host.lower() for host in self.input_hosts),
        )


_CONVERTED = frozenset({"allow_requesters", "deny_requesters", "deny_models", "input_hosts"})
