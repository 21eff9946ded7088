"""web3's HTTP providers with explicit timeouts and without retries."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import aiohttp
from web3 import AsyncHTTPProvider, AsyncWeb3, HTTPProvider, Web3
from web3.providers import AsyncBaseProvider, BaseProvider

from sworn.errors import ConfigurationError

W3 = Web3
AsyncW3 = AsyncWeb3[Any]


def http_provider(url: str, *, timeout_s: float) -> HTTPProvider:
    """Blocking provider; ``timeout_s`` bounds each wait for the node. Raises `ConfigurationError` for a bad URL."""
    _check(url)
    return HTTPProvider(url, request_kwargs={"timeout": timeout_s}, exception_retry_configuration=None)


def async_http_provider(url: str, *, timeout_s: float) -> AsyncHTTPProvider:
    """Coroutine provider; ``timeout_s`` bounds each whole request. Raises `ConfigurationError` for a bad URL."""
    _check(url)
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    return AsyncHTTPProvider(url, request_kwargs={"timeout": timeout}, exception_retry_configuration=None)


def close_provider(provider: BaseProvider) -> None:
    """Nothing to do: a blocking provider's sockets close when it is collected."""


async def async_close_provider(provider: AsyncBaseProvider) -> None:
    """Closes an HTTP provider's sessions."""
    if isinstance(provider, AsyncHTTPProvider):
        await provider.disconnect()


def _check(url: str) -> None:
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        # SAFETY: what was given may hold a key and is not shown.
        raise ConfigurationError("not an http(s) URL of a node")
