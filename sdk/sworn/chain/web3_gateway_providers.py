"""web3's HTTP providers with explicit timeouts and without retries."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any, Final, cast
from urllib.parse import urlsplit

import aiohttp
import requests
from requests.utils import get_netrc_auth
from web3 import AsyncHTTPProvider, AsyncWeb3, HTTPProvider, Web3
from web3.exceptions import BadResponseFormat
from web3.providers import AsyncBaseProvider, BaseProvider
from web3.types import RPCEndpoint, RPCResponse

from sworn.errors import ConfigurationError
from sworn.masking import masked_answer, url_secrets

W3 = Web3
AsyncW3 = AsyncWeb3[Any]

#: Stands for the methods of a batch, where a provider names what it asks for.
_BATCH: Final = RPCEndpoint("batch")
#: How much of an answer is read at once: logs come by the megabyte.
_READ_BYTES: Final = 1 << 20


class _Sessions(threading.local):
    """One HTTP session for each thread: sessions of requests are not made to be shared."""

    def __init__(self, url: str) -> None:
        self.session = settled_session(url)


class StrictHTTPProvider(HTTPProvider):
    """Takes an answer only for the question that was asked: web3 itself never looks at the ids of answers.

    SAFETY: a proxy that drops or repeats an answer would make every later one belong to another question.
    """

    def __init__(self, url: str, *, timeout_s: float) -> None:
        super().__init__(url, request_kwargs={"timeout": timeout_s}, exception_retry_configuration=None)
        self._url = url
        self._sessions = _Sessions(url)

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        asked = self.encode_rpc_request(method, params)
        return _for(asked, _discreet(self.decode_rpc_response(self._told(asked)), self._url))

    def make_batch_request(self, batch_requests: list[tuple[RPCEndpoint, Any]]) -> list[RPCResponse] | RPCResponse:
        asked = _questions(self.request_counter, batch_requests)
        return _among(asked, _discreet(json.loads(self._told(json.dumps(asked).encode())), self._url))

    def _told(self, asked: bytes) -> bytes:
        session = self._sessions.session
        with session.post(self._url, data=asked, stream=True, **self.get_request_kwargs()) as response:
            response.raise_for_status()
            return b"".join(response.iter_content(_READ_BYTES))


class AsyncStrictHTTPProvider(AsyncHTTPProvider):
    """The same as coroutines."""

    async def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        asked = self.encode_rpc_request(method, params)
        answer = self.decode_rpc_response(await self._make_request(method, asked))
        return _for(asked, _discreet(answer, str(self.endpoint_uri)))

    async def make_batch_request(
        self, batch_requests: list[tuple[RPCEndpoint, Any]]
    ) -> list[RPCResponse] | RPCResponse:
        asked = _questions(self.request_counter, batch_requests)
        answers = json.loads(await self._make_request(_BATCH, json.dumps(asked).encode()))
        return _among(asked, _discreet(answers, str(self.endpoint_uri)))


def http_provider(url: str, *, timeout_s: float) -> HTTPProvider:
    """Blocking provider; ``timeout_s`` bounds each wait for the node. Raises `ConfigurationError` for a bad URL."""
    _check(url)
    return StrictHTTPProvider(url, timeout_s=timeout_s)


def settled_session(url: str) -> requests.Session:
    """A session that has read proxies, certificates and credentials for one URL from the environment, once.

    By itself a session reads them anew for every request, which takes longer than the request to a node next door.
    """
    session = requests.Session()
    settled = session.merge_environment_settings(url, {}, None, None, None)
    session.proxies, session.verify = settled["proxies"], settled["verify"]
    session.auth = get_netrc_auth(url)
    session.trust_env = False
    return session


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


def _discreet(answer: Any, url: str) -> Any:
    """The answer, with the URL's secrets taken out of its errors.

    SAFETY: providers repeat a key that they do not know, and what a node says of an error gets into ours.
    """
    if isinstance(answer, list):
        return [_discreet(each, url) for each in answer]
    if isinstance(answer, dict) and "error" in answer:
        return answer | {"error": masked_answer(answer["error"], url_secrets(url))}
    return answer


def _for(asked: bytes, answer: Any) -> RPCResponse:
    """The answer, if it is one to this question; nodes answer what they could not read with the id null."""
    fits = isinstance(answer, dict) and (
        str(answer.get("id")) == str(json.loads(asked)["id"]) or ("error" in answer and answer.get("id") is None)
    )
    if not fits:
        raise BadResponseFormat("the node answered another question")
    return cast(RPCResponse, answer)


def _questions(ids: Iterator[int], batch: list[tuple[RPCEndpoint, Any]]) -> list[dict[str, Any]]:
    """The requests of a batch, with ids that rise; their parameters are plain JSON already."""
    return [{"jsonrpc": "2.0", "id": next(ids), "method": method, "params": params} for method, params in batch]


def _among(asked: list[dict[str, Any]], answers: Any) -> list[RPCResponse] | RPCResponse:
    """The answers to these questions, and those without an id; one answer stands for a batch that was refused."""
    if not isinstance(answers, list):
        return cast(RPCResponse, answers)
    ids = {None, *(question["id"] for question in asked)}
    return [answer for answer in answers if not isinstance(answer, dict) or answer.get("id") in ids]


def _check(url: str) -> None:
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        # SAFETY: what was given may hold a key and is not shown.
        raise ConfigurationError("not an http(s) URL of a node")
