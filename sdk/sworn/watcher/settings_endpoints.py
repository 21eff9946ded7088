"""Settings about nodes: which ones are asked, in which order, and what is believed."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SecretStr,
    model_validator,
)

from sworn.chain.endpoints_health import Rests
from sworn.chain.endpoints_policy import CrossCheck, FailoverPolicy
from sworn.chain.follower import Finality
from sworn.watcher.settings_values import SecretUrl, mask_url, url_parts

_STRICT = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
#: How many times longer than the first ban the longest one is.
_BAN_GROWTH: Final = 40


def _checked_socket_url(value: SecretStr) -> SecretStr:
    if url_parts(value.get_secret_value(), "ws", "wss") is None:
        raise ValueError("expected a ws(s) URL; a / in its password is written as %2F")
    return value


def _shown_url(value: SecretStr) -> str:
    return mask_url(value.get_secret_value())


def _as_table(value: Any) -> Any:
    return {"url": value} if isinstance(value, str | SecretStr) else value


#: A ws(s) URL that may hold credentials; dumped without them.
SocketUrl = Annotated[SecretStr, AfterValidator(_checked_socket_url), PlainSerializer(_shown_url, when_used="json")]


class EndpointSettings(BaseModel):
    """One node."""

    model_config = _STRICT

    #: JSON-RPC endpoint; secret, as providers put keys into it.
    url: SecretUrl
    #: Those with a smaller number are preferred; among equals the order of the list counts.
    priority: int = 0
    #: Largest block range of one log query; None = chain.max_log_range. Smaller limits are found out.
    max_log_range: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    #: Seconds until a request is given up.
    timeout_s: Annotated[float, Field(gt=0, le=300)] = 15.0
    #: None = as many as it takes.
    requests_per_second: Annotated[float, Field(gt=0)] | None = None


class NodeSettings(BaseModel):
    """Which nodes are asked. A part of the table ``chain``."""

    model_config = _STRICT

    #: JSON-RPC endpoint; secret, as providers put keys into it. With rpc_urls it comes before them.
    rpc_url: SecretUrl | None = None
    #: Several endpoints, as URLs or tables. The first that is well is asked, the others check it and stand in for it.
    rpc_urls: tuple[Annotated[EndpointSettings, BeforeValidator(_as_table)], ...] = ()
    #: Largest block range of one log query.
    max_log_range: Annotated[int, Field(ge=1, le=1_000_000)] = 2_000
    #: Says when there is a new block, so that it is not waited for; losing it costs a part of poll_interval_s.
    ws_url: SocketUrl | None = None
    #: When a block is settled enough to be followed: confirmations (see below), safe or finalized.
    finality: Finality = Finality.CONFIRMATIONS
    #: What is compared between endpoints: full, headers (without logs, at half the cost) or off.
    cross_check: CrossCheck = CrossCheck.FULL
    #: Endpoints that must say the same. 1 goes on when only one is in reach; 2 waits for a second one. None = 2 where
    #: there are three or more, else 1.
    quorum: Annotated[int, Field(ge=1, le=16)] | None = None
    #: Seconds for which an endpoint is left alone that others contradict; doubled each time, up to forty times.
    quarantine_s: Annotated[float, Field(gt=0, le=3600)] = 15.0
    #: Seconds for which a block is waited for that was seen before and that no endpoint has now.
    patience_s: Annotated[float, Field(ge=0, le=3600)] = 15.0
    #: Seconds without a new block after which another endpoint is used; None = by the chain's own pace.
    silent_after_s: Annotated[float, Field(gt=0)] | None = None
    #: Whether transactions are sent to all endpoints, so that none can keep them to itself.
    broadcast: bool = True

    @model_validator(mode="after")
    def _named(self) -> NodeSettings:
        if not self.endpoints:
            raise ValueError("name a node: rpc_url, or rpc_urls for several")
        if self.quorum is not None and self.quorum > len(self.endpoints):
            raise ValueError(f"quorum is {self.quorum}, but there are {len(self.endpoints)} endpoints")
        return self

    @property
    def endpoints(self) -> tuple[EndpointSettings, ...]:
        """Every node, best first; each URL once."""
        single = () if self.rpc_url is None else (EndpointSettings(url=self.rpc_url, timeout_s=30.0),)
        ordered = (*single, *sorted(self.rpc_urls, key=lambda endpoint: endpoint.priority))
        once: dict[str, EndpointSettings] = {}
        for endpoint in ordered:
            once.setdefault(endpoint.url.get_secret_value(), endpoint)
        return tuple(once.values())

    @property
    def agreeing(self) -> int:
        """Endpoints that must say the same."""
        # SAFETY: of three, one that lies would be believed whenever the two others rest; two can spare one, and wait.
        return self.quorum or (2 if len(self.endpoints) > 2 else 1)

    @property
    def rests(self) -> Rests:
        """For how long troubled endpoints are left alone."""
        return Rests(first_ban_s=self.quarantine_s, longest_ban_s=self.quarantine_s * _BAN_GROWTH)


def failover_policy(nodes: NodeSettings, *, confirmations: int) -> FailoverPolicy:
    """As the gateway takes it; hashes are compared where blocks are acted on."""
    return FailoverPolicy(
        cross_check=nodes.cross_check,
        quorum=nodes.agreeing,
        depth=confirmations,
        silent_after_s=nodes.silent_after_s,
        patience_s=nodes.patience_s,
        broadcast=nodes.broadcast,
    )
