"""Artifacts over http and https, from hosts that nobody vouches for.

Written on `http.client`, where the address that was checked is the address that is connected to, nothing is
decompressed, no proxy, cookie or netrc entry takes part, and one deadline covers connection, headers and body.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from types import MappingProxyType
from typing import Final, Protocol, runtime_checkable
from urllib.parse import SplitResult, quote, unquote, urljoin

import certifi

from sworn.errors import ArtifactUnavailable
from sworn.storage import addresses
from sworn.storage.fetching import Fetcher, mask_uri, split_uri

_CHUNK_BYTES = 1 << 16
# A name may have any number of addresses; each costs a connect timeout.
_MAX_ADDRESSES: Final = 4
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_PORTS: Final = MappingProxyType({"http": 80, "https": 443})


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long a peer is listened to: for ``total_s``, and with ``patience_s`` no longer than that without a byte.

    After its patience a peer is left as soon as it has sent less than ``min_bytes_per_s`` in all.
    """

    total_s: float
    patience_s: float | None = None
    min_bytes_per_s: float = 1.0

    def allowed_s(self, received: int) -> float:
        """Seconds after its beginning at which a connection is cut that has brought so many bytes."""
        if self.patience_s is None:
            return self.total_s
        return min(self.total_s, max(self.patience_s, received / self.min_bytes_per_s))


@runtime_checkable
class PacedFetcher(Protocol):
    """A `Fetcher` that cuts connections by the clock, whether or not anything comes through them."""

    def open_at(self, uri: str, pace: Pace) -> Generator[bytes, None, None]:
        """As `Fetcher.open`, at a pace."""
        ...


def opened(fetcher: Fetcher, uri: str, pace: Pace) -> Generator[bytes, None, None]:
    """Chunks of the content, at a pace where the fetcher knows how to keep one. Raises `ArtifactUnavailable`."""
    return fetcher.open_at(uri, pace) if isinstance(fetcher, PacedFetcher) else fetcher.open(uri)


def origins_of(urls: Iterable[str]) -> frozenset[tuple[str, int]]:
    """Host and port of http and https addresses; others are left out."""
    found: set[tuple[str, int]] = set()
    for url in urls:
        parts = split_uri(url)
        if parts.scheme in _PORTS and parts.hostname:
            found.add((parts.hostname.lower(), parts.port or _PORTS[parts.scheme]))
    return frozenset(found)


class HttpFetcher:
    """Streams ``http://`` and ``https://`` URIs, identity-encoded. Times in seconds.

    Hosts must be on the public internet unless ``allow_private_hosts``, or unless host and port are among
    ``private_origins``: those that somebody here has named, which may not redirect to other private ones. ``shown`` is
    how messages name a URI, ``accept`` the media type that is asked for.
    """

    def __init__(
        self,
        *,
        allow_private_hosts: bool = False,
        private_origins: frozenset[tuple[str, int]] = frozenset(),
        connect_timeout_s: float = 10.0,
        read_timeout_s: float = 30.0,
        total_timeout_s: float = 600.0,
        max_redirects: int = 5,
        resolve: addresses.Resolver = addresses.resolve,
        ssl_context: ssl.SSLContext | None = None,
        shown: Callable[[str], str] = mask_uri,
        accept: str = "*/*",
    ) -> None:
        self._allow_private_hosts = allow_private_hosts
        self._private_origins = private_origins
        self._connect_timeout_s = connect_timeout_s
        self._read_timeout_s = read_timeout_s
        self._total_timeout_s = total_timeout_s
        self._max_redirects = max_redirects
        self._resolve = resolve
        self._ssl_context = ssl_context
        self._shown = shown
        self._accept = accept

    @property
    def schemes(self) -> frozenset[str]:
        """``http`` and ``https``."""
        return frozenset({"http", "https"})

    def open(self, uri: str) -> Generator[bytes, None, None]:
        """Chunks of the body of the first answer that is not a redirect. Raises `ArtifactUnavailable`."""
        return self.open_at(uri, Pace(total_s=self._total_timeout_s))

    def open_at(self, uri: str, pace: Pace) -> Generator[bytes, None, None]:
        """As `open`, but for no longer than a pace allows. What others do with a chunk counts as well."""
        deadline = _Deadline(replace(pace, total_s=min(pace.total_s, self._total_timeout_s)))
        try:
            with closing(self._follow(uri, deadline)) as chunks:
                for chunk in chunks:
                    deadline.received += len(chunk)
                    yield chunk
            deadline.check(self._shown(uri))
        except ArtifactUnavailable:
            deadline.check(self._shown(uri))
            raise
        except (OSError, HTTPException, ValueError) as error:
            deadline.check(self._shown(uri))
            # Only the system's own words are repeated: others may quote the URI with its secrets.
            system = error if isinstance(error, OSError) else None
            reason = str(error) if system else type(error).__name__
            raise ArtifactUnavailable(f"{self._shown(uri)}: {reason}") from system
        finally:
            deadline.cancel()

    def _follow(self, uri: str, deadline: _Deadline) -> Generator[bytes, None, None]:
        for _ in range(self._max_redirects + 1):
            connection = self._connect(uri, deadline)
            try:
                response = _ask(connection, split_uri(uri), self._accept)
                if response.status not in _REDIRECTS:
                    yield from _body(response, self._shown(uri))
                    return
                location = response.getheader("Location")
            finally:
                connection.close()
            if location is None:
                raise ArtifactUnavailable(f"{self._shown(uri)}: a redirect without a target")
            uri = urljoin(uri, location)
        raise ArtifactUnavailable(f"{self._shown(uri)}: more than {self._max_redirects} redirects")

    def _connect(self, uri: str, deadline: _Deadline) -> HTTPConnection:
        parts = split_uri(uri)
        if parts.scheme not in self.schemes or not parts.hostname:
            raise ArtifactUnavailable(f"{self._shown(uri)}: not an http or https address")
        secure = parts.scheme == "https"
        port = parts.port or _PORTS[parts.scheme]
        sock = self._dial(uri, parts.hostname, port)
        try:
            return self._speak(sock, parts.hostname, port, secure=secure, deadline=deadline)
        except (OSError, ValueError):
            sock.close()
            raise

    def _speak(self, sock: socket.socket, host: str, port: int, *, secure: bool, deadline: _Deadline) -> HTTPConnection:
        if not secure:
            plain = HTTPConnection(host, port)
            plain.sock = sock
            deadline.watch(sock)
            return plain
        context = self._ssl_context or ssl.create_default_context(cafile=certifi.where())
        connection = HTTPSConnection(host, port, context=context)
        wrapped = context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
        connection.sock = wrapped
        try:
            deadline.watch(wrapped)
            wrapped.do_handshake()
        except (OSError, ValueError):
            wrapped.close()
            raise
        return connection

    def _dial(self, uri: str, host: str, port: int) -> socket.socket:
        found = self._resolve(host, port)
        private = self._allow_private_hosts or (host.lower(), port) in self._private_origins
        # SAFETY: what was checked is what is dialled; resolving again could give another answer.
        allowed = [ip for ip in found if private or addresses.is_public(ip)]
        del allowed[_MAX_ADDRESSES:]
        if not allowed:
            raise ArtifactUnavailable(f"{self._shown(uri)}: the host is not on the public internet")
        for ip in allowed[:-1]:
            try:
                return self._dial_address(ip, port)
            except OSError:
                continue
        return self._dial_address(allowed[-1], port)

    def _dial_address(self, ip: str, port: int) -> socket.socket:
        sock = socket.create_connection((ip, port), timeout=self._connect_timeout_s)
        sock.settimeout(self._read_timeout_s)
        return sock


class _Deadline:
    """Cuts the current connection when time is up: a read timeout alone never ends a peer that drips bytes."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._began = time.monotonic()
        #: Bytes of the body that have come; only the reading thread changes it.
        self.received = 0
        self._lock = threading.Lock()
        self._sock: socket.socket | None = None
        self._is_cancelled = False
        #: Seconds after which it was cut, and the bytes that had come by then.
        self._expired: tuple[float, int] | None = None
        self._timer = self._timed(pace.allowed_s(0))

    def watch(self, sock: socket.socket) -> None:
        with self._lock:
            self._sock = sock
            if self._expired is not None:
                raise TimeoutError("no time left")

    def check(self, shown: str) -> None:
        if self._expired is None:
            return
        after_s, received = self._expired
        if after_s >= self._pace.total_s:
            raise ArtifactUnavailable(f"{shown}: not complete after {self._pace.total_s:g} s")
        raise ArtifactUnavailable(f"{shown}: too slow, {received} bytes in {after_s:.0f} s")

    def cancel(self) -> None:
        with self._lock:
            self._is_cancelled = True
            self._timer.cancel()

    def _timed(self, after_s: float) -> threading.Timer:
        timer = threading.Timer(after_s, self._look)
        timer.daemon = True
        timer.start()
        return timer

    def _look(self) -> None:
        """Looks again later at a peer that keeps its pace; a timer per chunk would cost more than the chunks."""
        with self._lock:
            received = self.received
            allowed_s = self._pace.allowed_s(received)
            left_s = self._began + allowed_s - time.monotonic()
            if self._is_cancelled:
                return
            if left_s > 0:
                self._timer = self._timed(left_s)
                return
            self._expired = allowed_s, received
            if self._sock is None:
                return
            try:
                # The plain method, also under TLS: the reading thread wakes up and owns everything else.
                socket.socket.shutdown(self._sock, socket.SHUT_RDWR)
            except OSError:
                # Closed already.
                return


def _ask(connection: HTTPConnection, parts: SplitResult, accept: str) -> HTTPResponse:
    target = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~")
    if parts.query:
        target += "?" + quote(parts.query, safe="/%:@!$&'()*+,;=~?[]")
    headers = {"Accept": accept, "Accept-Encoding": "identity", "Connection": "close", "User-Agent": "sworn"}
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = f"Basic {b64encode(login.encode()).decode()}"
    connection.request("GET", target, headers=headers)
    return connection.getresponse()


def _body(response: HTTPResponse, shown: str) -> Generator[bytes, None, None]:
    if response.status != 200:
        raise ArtifactUnavailable(f"{shown}: answered {response.status}")
    encoding = response.getheader("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        # SAFETY: nothing is ever inflated, so a compressed answer cannot grow in here.
        raise ArtifactUnavailable(f"{shown}: answered with a compressed body, which was not asked for")
    expected, received = response.length, 0
    while expected is None or received < expected:
        chunk = response.read1(_CHUNK_BYTES)
        if not chunk:
            break
        received += len(chunk)
        yield chunk
    if expected is not None and received != expected:
        raise ArtifactUnavailable(f"{shown}: ended after {received} of {expected} bytes")
