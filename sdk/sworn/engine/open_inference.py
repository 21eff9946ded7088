"""Runs models of profile ``signed`` on servers that speak the Open Inference Protocol: Triton, KServe and others.

Such a server returns outputs, never a trace, and nobody can see what it computed: its operator answers for it.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
from numpy.typing import NDArray

from sworn.engine.open_inference_tensors import check_metadata, decode_answer, encode_request, read_json
from sworn.engine.protocol import RunLimits
from sworn.engine.tensors import checked_inputs, checked_outputs
from sworn.engine.terms import Endpoint
from sworn.errors import ConfigurationError, EngineError, ModelUnavailable, RunFailed, RunTimedOut
from sworn.types import Schema, Tensors

_CONNECT_TIMEOUT_S: Final = 5.0
_METADATA_TIMEOUT_S: Final = 15.0
_MAX_METADATA_BYTES: Final = 1 << 20
_MAX_INPUT_ELEMENTS: Final = 1 << 26
#: How long a server that says that it cannot take a run now is waited for, unless it says so itself.
_RETRY_S: Final = 0.2
_JSON_LENGTH: Final = "Inference-Header-Content-Length"
_BINARY: Final = "binary_tensor_data"
#: Not now: the run has not begun there, so that asking again makes it no second one.
_NOT_BEGUN: Final = frozenset({429, 503})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


class OpenInferenceModel:
    """One model on one server, safe for many threads. `check` comes before the first run."""

    def __init__(self, endpoint: Endpoint, schema: Schema) -> None:
        """Raises `ConfigurationError` for a URL of another form and for files that cannot be read."""
        self._url = endpoint.url.rstrip("/")
        try:
            parts = urlsplit(self._url)
        except ValueError:
            # The message quotes the host, and what stands before it.
            raise ConfigurationError("an endpoint is an http(s) URL without credentials") from None
        words = parts.path.split("/")
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
            raise ConfigurationError("an endpoint is an http(s) URL without credentials: name an authorization_file")
        if "models" not in words[:-1] or len(words) - words.index("models") not in (2, 4):
            raise ConfigurationError("an endpoint ends with /v2/models/NAME or /v2/models/NAME/versions/VERSION")
        names = words[words.index("models") :]
        self._server = self._url.removesuffix("/".join(names)).rstrip("/")
        self._version = names[3] if len(names) > 2 else None
        self._where = f"the model {names[1]} at {parts.hostname}"
        self._endpoint, self._schema = endpoint, schema
        self._headers = {"Accept-Encoding": "identity", **_authorization(endpoint)}
        self._trust = _trust(endpoint) if parts.scheme == "https" else True
        self._is_binary = False
        #: Whether its server has been found to hold the same model.
        self.is_checked = False
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._session: aiohttp.ClientSession | None = None

    def check(self) -> None:
        """Compares the server's model with the artifact's schema and pins its version.

        Raises `ConfigurationError` where they differ or where several versions are served and the URL names none, and
        `ModelUnavailable`.
        """
        server = self._metadata(self._server)
        metadata = self._metadata(self._url)
        check_metadata(self._schema, metadata, where=self._where)
        versions = metadata.get("versions")
        if self._version is None and isinstance(versions, list) and versions:
            # INVARIANT: what is signed as one model does not become another one when somebody deploys a version.
            if len(versions) > 1:
                raise ConfigurationError(f"{self._where} has the versions {versions}: name one in the URL")
            self._version = str(versions[0])
        extensions = server.get("extensions")
        self._is_binary = isinstance(extensions, list) and _BINARY in extensions
        self.is_checked = True

    def run(self, inputs: Tensors, *, limits: RunLimits) -> dict[str, NDArray[Any]]:
        """Outputs by name. Raises as `Engine.run` does, and `ModelUnavailable`."""
        arrays = checked_inputs(self._schema, inputs, max_elements=_MAX_INPUT_ELEMENTS)
        body, json_bytes = encode_request(self._schema, arrays, binary=self._is_binary)
        headers = {"Content-Type": "application/json"}
        if json_bytes is not None:
            headers = {"Content-Type": "application/octet-stream", _JSON_LENGTH: str(json_bytes)}
        answer = self._infer(body, headers, deadline=time.monotonic() + limits.timeout_s)
        head, outputs = decode_answer(self._schema, answer.body, json_bytes=_json_length(answer))
        self._require_version(head.get("model_version"))
        return checked_outputs(self._schema, outputs)

    def close(self) -> None:
        """Ends every run under way with a bare `EngineError`; idempotent."""
        with self._lock:
            self._closing.set()
            loop, self._loop = self._loop, None
        if loop is None or self._thread is None:
            return
        asyncio.run_coroutine_threadsafe(self._end(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        self._thread.join()
        loop.close()

    def _require_version(self, stated: Any) -> None:
        with self._lock:
            if self._version is None and stated:
                # Its metadata name no version (MLServer's never do), its answers do: the first one is the one.
                self._version = str(stated)
            if stated and str(stated) != self._version:
                raise ModelUnavailable(
                    f"{self._where} answers as version {stated}, not {self._version}: restart to check"
                )

    def _infer(self, body: bytes, headers: Mapping[str, str], *, deadline: float) -> _Answer:
        while True:
            left_s = deadline - time.monotonic()
            answer = self._call("POST", f"{self._url}/infer", timeout_s=left_s, body=body, headers=headers)
            if answer.status not in _NOT_BEGUN:
                return self._accepted(answer)
            pause_s = _pause_s(answer.headers.get("Retry-After"))
            if time.monotonic() + pause_s >= deadline:
                raise ModelUnavailable(f"{self._where} takes no run now (status {answer.status})")
            self._closing.wait(pause_s)

    def _metadata(self, url: str) -> Mapping[str, Any]:
        try:
            found = read_json(self._accepted(self._call("GET", url, timeout_s=_METADATA_TIMEOUT_S)).body)
        except (ValueError, RunFailed) as error:
            raise ConfigurationError(f"{self._where}: its metadata cannot be read") from error
        if not isinstance(found, dict):
            raise ConfigurationError(f"{self._where}: its metadata are no JSON object")
        return found

    def _accepted(self, answer: _Answer) -> _Answer:
        """The answer, when it is one. Server errors say nothing about the inputs; refusals of them do."""
        if answer.status == 200:
            return answer
        if answer.status in (401, 403):
            raise ConfigurationError(f"{self._where} refuses us (status {answer.status}): check authorization_file")
        if 300 <= answer.status < 400:
            raise ConfigurationError(f"{self._where} is elsewhere (status {answer.status}): name its final URL")
        if answer.status in (400, 413, 422):
            raise RunFailed(f"{self._where} refuses the inputs (status {answer.status})")
        raise ModelUnavailable(f"{self._where} gives no answer (status {answer.status})")

    def _call(
        self,
        method: str,
        url: str,
        *,
        timeout_s: float,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> _Answer:
        limit = _MAX_METADATA_BYTES if body is None else self._endpoint.max_answer_bytes
        everything = {**self._headers, **(headers or {})}
        call = self._begun(lambda: self._exchange(method, url, body, everything, timeout_s=timeout_s, limit=limit))
        try:
            return call.result()
        except aiohttp.ConnectionTimeoutError as error:
            raise ModelUnavailable(f"{self._where} cannot be reached") from error
        except TimeoutError as error:
            if body is None:
                raise ModelUnavailable(f"{self._where} gives no metadata in {timeout_s:g} s") from error
            raise RunTimedOut(f"{self._where} is not done in time") from error
        except (aiohttp.ClientError, OSError) as error:
            raise ModelUnavailable(f"{self._where} cannot be reached: {type(error).__name__}") from error
        except CancelledError as error:
            raise EngineError("the engine was closed during the run") from error

    def _begun(self, exchange: Callable[[], Coroutine[Any, Any, _Answer]]) -> Future[_Answer]:
        # INVARIANT: nothing is begun once `close` has begun; it would wait for an answer for ever.
        with self._lock:
            if self._closing.is_set():
                raise EngineError("the engine is closed")
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="sworn-endpoint", daemon=True)
                self._thread.start()
            return asyncio.run_coroutine_threadsafe(exchange(), self._loop)

    async def _exchange(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str], *, timeout_s: float, limit: int
    ) -> _Answer:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ssl=self._trust), auto_decompress=False, trust_env=False
            )
        timeout = aiohttp.ClientTimeout(total=max(timeout_s, 1e-3), sock_connect=_CONNECT_TIMEOUT_S)
        async with self._session.request(
            method, url, data=body, headers=headers, timeout=timeout, allow_redirects=False
        ) as response:
            received = bytearray()
            async for chunk in response.content.iter_any():
                received += chunk
                if len(received) > limit:
                    raise _TooLong(f"{self._where}: its answer is longer than {limit} bytes")
            if response.headers.get("Content-Encoding", "identity") != "identity":
                raise _TooLong(f"{self._where}: its answer is compressed, which was not asked for")
            return _Answer(status=response.status, headers=response.headers, body=bytes(received))

    async def _end(self) -> None:
        under_way = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        if self._session is not None:
            await self._session.close()


class _TooLong(RunFailed):
    """An answer that is not read to its end."""


def _json_length(answer: _Answer) -> int | None:
    stated = answer.headers.get(_JSON_LENGTH)
    if stated is None:
        return None
    if not stated.isdecimal():
        raise RunFailed("the server states a length of its JSON part that is no number")
    return int(stated)


def _pause_s(retry_after: str | None) -> float:
    # A date is allowed too; nobody gives one for a pause this short.
    stated_s = float(retry_after) if retry_after is not None and retry_after.isdecimal() else 0.0
    return max(stated_s, _RETRY_S)


def _authorization(endpoint: Endpoint) -> dict[str, str]:
    if endpoint.authorization_file is None:
        return {}
    try:
        lines = endpoint.authorization_file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{endpoint.authorization_file} cannot be read") from error
    if not lines or not lines[0].strip().isprintable() or not lines[0].strip():
        raise ConfigurationError(f"{endpoint.authorization_file}: the first line is the value of a header")
    return {"Authorization": lines[0].strip()}


def _trust(endpoint: Endpoint) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=None if endpoint.ca_file is None else str(endpoint.ca_file))
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"{endpoint.ca_file} holds no certificates that could be trusted") from error
