"""web3's HTTP providers with explicit timeouts and without retries."""

from __future__ import annotations

import json
from typing import Any, Final, cast
from urllib.parse import urlsplit

import aiohttp
from web3 import AsyncHTTPProvider, AsyncWeb3, HTTPProvider, Web3
from web3.exceptions import BadResponseFormat
from web3.providers import AsyncBaseProvider, BaseProvider
from web3.types import RPCEndpoint, RPCResponse

from sworn.errors import ConfigurationError

W3 = Web3
AsyncW3 = AsyncWeb3[Any]

#: Stands for the methods of a batch, where a provider names what it asks for.
_BATCH: Final = RPCEndpoint("batch")


class StrictHTTPProvider(HTTPProvider):
    """Takes an answer only for the question that was asked: web3 itself never looks at the ids of answers.

    SAFETY: a proxy that drops or repeats an answer would make every later one belong to another question.
    """

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        asked = self.encode_rpc_request(method, params)
        return _for(asked, self.decode_rpc_response(self._make_request(method, asked)))

    def make_batch_request(self, batch_requests: list[tuple[RPCEndpoint, Any]]) -> list[RPCResponse] | RPCResponse:
        asked = self.encode_batch_rpc_request(batch_requests)
        return _among(asked, self.decode_rpc_response(self._make_request(_BATCH, asked)))


class AsyncStrictHTTPProvider(AsyncHTTPProvider):
    """The same as coroutines."""

    async def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        asked = self.encode_rpc_request(method, params)
        return _for(asked, self.decode_rpc_response(await self._make_request(method, asked)))

    async def make_batch_request(
        self, batch_requests: list[tuple[RPCEndpoint, Any]]
    ) -> list[RPCResponse] | RPCResponse:
        asked = self.encode_batch_rpc_request(batch_requests)
        return _among(asked, self.decode_rpc_response(await self._make_request(_BATCH, asked)))


def http_provider(url: str, *, timeout_s: float) -> HTTPProvider:
    """Blocking provider; ``timeout_s`` bounds each wait for the node. Raises `ConfigurationError` for a bad URL."""
    _check(url)
    return StrictHTTPProvider(url, request_kwargs={"timeout": timeout_s}, exception_retry_configuration=None)


def async_http_provider(url: str, *, timeout_s: float) -> AsyncHTTPProvider:
    """Coroutine provider; ``timeout_s`` bounds each whole request. Raises `ConfigurationError` for a bad URL."""
    _check(url)
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    return AsyncStrictHTTPProvider(url, request_kwargs={"timeout": timeout}, exception_retry_configuration=None)


def takes_batches(provider: BaseProvider | AsyncBaseProvider) -> bool:
    """Whether several requests can be sent as one; an in-process chain has no use for that."""
    return isinstance(provider, HTTPProvider | AsyncHTTPProvider)


def ask_batch(provider: BaseProvider, requests: list[tuple[RPCEndpoint, Any]]) -> Any:
    """What the node answers to several requests sent as one."""
    assert isinstance(provider, HTTPProvider), "only called where `takes_batches`"  # noqa: S101
    return provider.make_batch_request(requests)


async def async_ask_batch(provider: AsyncBaseProvider, requests: list[tuple[RPCEndpoint, Any]]) -> Any:
    """The same as a coroutine."""
    assert isinstance(provider, AsyncHTTPProvider), "only called where `takes_batches`"  # noqa: S101
    return await provider.make_batch_request(requests)


def close_provider(provider: BaseProvider) -> None:
    """Nothing to do: a blocking provider's sockets close when it is collected."""


async def async_close_provider(provider: AsyncBaseProvider) -> None:
    """Closes an HTTP provider's sessions."""
    if isinstance(provider, AsyncHTTPProvider):
        await provider.disconnect()


def _for(asked: bytes, answer: Any) -> RPCResponse:
    """The answer, if it is one to this question; nodes answer what they could not read with the id null."""
    fits = isinstance(answer, dict) and (
        str(answer.get("id")) == str(json.loads(asked)["id"]) or ("error" in answer and answer.get("id") is None)
    )
    if not fits:
        raise BadResponseFormat("the node answered another question")
    return cast(RPCResponse, answer)


def _among(asked: bytes, answers: Any) -> list[RPCResponse] | RPCResponse:
    """The answers to these questions, and those without an id; one answer stands for a batch that was refused."""
    if not isinstance(answers, list):
        return cast(RPCResponse, answers)
    ids = {question["id"] for question in json.loads(asked)}
    return [answer for answer in answers if not isinstance(answer, dict) or answer.get("id") in {*ids, None}]


def _check(url: str) -> None:
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        # SAFETY: what was given may hold a key and is not shown.
        raise ConfigurationError("not an http(s) URL of a node")
