"""http and https against a hostile server on this machine."""

from __future__ import annotations

import gzip
import hashlib
import socket
import ssl
import threading
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sworn.errors import ArtifactCorrupt, ArtifactTooLarge, ArtifactUnavailable
from sworn.storage import CachedArtifactStore, HttpFetcher, addresses
from sworn.storage.ipfs import IpfsFetcher
from sworn.storage.web import origins_of

ARTIFACT = bytes(range(256)) * 1000
HASH = hashlib.sha256(ARTIFACT).digest()

# A self-signed certificate for model.example and its key, made for this test and used nowhere else.
TLS = """-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgvGmj5quXc4o8xD9k
Y18AXVsuN/3YxeEQBUxMXpBOJiOhRANCAASIydCXHFBdozu3SSg8XFVL/M1PTmzo
En0sWcfpMjS6sd0fgQR2x7Ydy4wQcxcfQ9f7ORah1anoX4KS7iiYE86J
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBpDCCAUqgAwIBAgIUGUDbQS4DKNhMRQTOWiw0ZHTU+uAwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMDE2NTYwMVoYDzIxMjYxMDI3
MTY1NjAxWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAASIydCXHFBdozu3SSg8XFVL/M1PTmzoEn0sWcfpMjS6sd0fgQR2x7Yd
y4wQcxcfQ9f7ORah1anoX4KS7iiYE86Jo3gwdjAdBgNVHQ4EFgQUTD0hdlAQFbj1
7F3N5JUybSHBxokwHwYDVR0jBBgwFoAUTD0hdlAQFbj17F3N5JUybSHBxokwDwYD
VR0TAQH/BAUwAwEB/zAjBgNVHREEHDAagglsb2NhbGhvc3SCDW1vZGVsLmV4YW1w
bGUwCgYIKoZIzj0EAwIDSAAwRQIhAIzqGqGSzcnzsaUdw/lhDBPreeIkk7Ulsftl
kO0LSL5rAiBy6ialvj17OfVfv7X34B3Pqjo4LwGYvcuKFyCz4PBSrg==
-----END CERTIFICATE-----
"""


class Handler(BaseHTTPRequestHandler):
    """One path per kind of server."""

    protocol_version = "HTTP/1.1"
    seen: list[tuple[str, dict[str, str]]]
    stop: threading.Event

    def do_GET(self) -> None:
        """Answers by path."""
        self.seen.append((self.path, dict(self.headers)))
        self.close_connection = True
        name = self.path.partition("?")[0].strip("/").replace("-", "_")
        try:
            getattr(self, f"serve_{name}", self.serve_missing)()
        except OSError:
            # The client hung up, as it should in most of these tests.
            return

    def log_message(self, *args: object) -> None:
        """Keeps quiet."""

    def head(self, status: int, **headers: object) -> None:
        """Status line and headers."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def serve_good(self) -> None:
        self.head(200, Content_Length=len(ARTIFACT))
        self.wfile.write(ARTIFACT)

    def serve_chunked(self) -> None:
        self.head(200, Transfer_Encoding="chunked")
        for start in range(0, len(ARTIFACT), 50_000):
            chunk = ARTIFACT[start : start + 50_000]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        self.wfile.write(b"0\r\n\r\n")

    def serve_unsized(self) -> None:
        self.head(200)
        self.wfile.write(ARTIFACT)

    def serve_wrong(self) -> None:
        self.head(200, Content_Length=5)
        self.wfile.write(b"wrong")

    def serve_endless(self) -> None:
        self.head(200)
        while not self.stop.is_set():
            self.wfile.write(bytes(65536))

    def serve_gzip_bomb(self) -> None:
        body = gzip.compress(bytes(50_000_000))
        self.head(200, Content_Length=len(body), Content_Encoding="gzip")
        self.wfile.write(body)

    def serve_truncated(self) -> None:
        self.head(200, Content_Length=len(ARTIFACT))
        self.wfile.write(ARTIFACT[:1000])

    def serve_truncated_chunked(self) -> None:
        self.head(200, Transfer_Encoding="chunked")
        self.wfile.write(b"ffff\r\nabc")

    def serve_redirect(self) -> None:
        self.head(302, Location="/good", Content_Length=0)

    def serve_loop(self) -> None:
        self.head(307, Location="/loop", Content_Length=0)

    def serve_nowhere(self) -> None:
        self.head(301, Content_Length=0)

    def serve_to_file(self) -> None:
        self.head(302, Location="file:///etc/hostname", Content_Length=0)

    def serve_to_private(self) -> None:
        self.head(302, Location=f"http://127.0.0.2:{self.connection.getsockname()[1]}/good", Content_Length=0)

    def serve_body_drip(self) -> None:
        self.head(200, Content_Length=len(ARTIFACT))
        self.drip()

    def serve_unsized_drip(self) -> None:
        self.head(200)
        self.drip()

    def serve_header_drip(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
        self.drip()

    def serve_silent(self) -> None:
        self.stop.wait(10)

    def serve_missing(self) -> None:
        self.head(404, Content_Length=0)

    def drip(self) -> None:
        """One byte now and then, as long as somebody listens."""
        while not self.stop.wait(0.02):
            self.wfile.write(b"a")


class Server:
    """A running server and what it was asked."""

    def __init__(self, *, tls: Path | None = None) -> None:
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.stop = threading.Event()
        handler = type("Bound", (Handler,), {"seen": self.seen, "stop": self.stop})
        self._server = ThreadingHTTPServer(("", 0), handler)
        self._server.daemon_threads = True
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def uri(self, name: str, *, scheme: str = "http", host: str = "127.0.0.1") -> str:
        """The URI of one kind of server."""
        return f"{scheme}://{host}:{self.port}/{name}"

    def close(self) -> None:
        """Stops serving."""
        self.stop.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One plain server for all tests."""
    server = Server()
    yield server
    server.close()


@pytest.fixture
def store(tmp_path: Path) -> CachedArtifactStore:
    """A store that may talk to this machine, with a small limit and little patience."""
    fetcher = HttpFetcher(allow_private_hosts=True, read_timeout_s=0.3, total_timeout_s=1.0)
    return CachedArtifactStore(tmp_path / "cache", max_bytes=1_000_000, fetchers=[fetcher])


def files_under(root: Path) -> list[Path]:
    """Every file that a store has left behind."""
    return [path for path in root.rglob("*") if path.is_file()]


@pytest.mark.parametrize("name", ["good", "chunked", "unsized", "redirect", "good?a=b c&d=%20ü"])
def test_artifact_is_fetched_and_verified(store: CachedArtifactStore, server: Server, name: str) -> None:
    """Every ordinary way of sending a body, and a redirect, ends in the artifact."""
    assert store.get(HASH, uris=(server.uri(name),)) == ARTIFACT


@pytest.mark.parametrize(
    "name",
    [
        *("gzip-bomb", "truncated", "truncated-chunked", "loop", "nowhere", "to-file", "missing", "silent"),
        *("body-drip", "unsized-drip", "header-drip"),
    ],
)
def test_hostile_server_is_unavailable_in_bounded_time(
    store: CachedArtifactStore, server: Server, tmp_path: Path, name: str
) -> None:
    """Bombs, cut bodies, redirect loops, foreign schemes, silence and dripping end soon, in one typed error."""
    started = time.monotonic()
    with pytest.raises(ArtifactUnavailable):
        store.get(HASH, uris=(server.uri(name),))
    assert time.monotonic() - started < 3
    assert files_under(tmp_path) == []


@pytest.mark.parametrize(("name", "error"), [("wrong", ArtifactCorrupt), ("endless", ArtifactTooLarge)])
def test_wrong_or_endless_content_is_refused(
    store: CachedArtifactStore, server: Server, tmp_path: Path, name: str, error: type[Exception]
) -> None:
    """Other bytes are corrupt, too many are too large, and neither is kept."""
    with pytest.raises(error):
        store.get(HASH, uris=(server.uri(name),))
    assert files_under(tmp_path) == []


def test_request_asks_for_identity_and_sends_credentials_only_as_a_header(
    store: CachedArtifactStore, server: Server
) -> None:
    """User and password of the URI become basic authentication and stay out of errors."""
    uri = f"http://us%65r:p%40ss@127.0.0.1:{server.port}/missing?key=secret"
    with pytest.raises(ArtifactUnavailable) as caught:
        store.get(HASH, uris=(uri,))
    path, headers = server.seen[-1]
    assert path == "/missing?key=secret" and headers["Accept-Encoding"] == "identity"
    assert headers["Accept"] == "*/*"
    assert b64decode(headers["Authorization"].removeprefix("Basic ")) == b"user:p@ss"
    assert not any(secret in str(caught.value) for secret in ("p@ss", "p%40ss", "secret"))


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "localhost", "127.1", "2130706433", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]"),
        *("10.0.0.1", "169.254.169.254", "192.168.1.1", "100.64.0.1", "[fe80::1]", "[fd00::1]", "[64:ff9b::7f00:1]"),
    ],
)
def test_private_host_is_refused_without_a_connection(tmp_path: Path, server: Server, host: str) -> None:
    """Loopback, private, link-local and metadata addresses are refused in every notation."""
    asked = len(server.seen)
    with pytest.raises(ArtifactUnavailable):
        CachedArtifactStore(tmp_path).get(HASH, uris=(server.uri("good", host=host),))
    assert len(server.seen) == asked


def test_redirect_to_a_private_host_is_refused(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check is made on every hop."""
    monkeypatch.setattr(addresses, "is_public", lambda address: address == "127.0.0.1")
    store = CachedArtifactStore(tmp_path)
    asked = len(server.seen)
    with pytest.raises(ArtifactUnavailable):
        store.get(HASH, uris=(server.uri("to-private"),))
    assert len(server.seen) == asked + 1
    assert store.get(HASH, uris=(server.uri("redirect"),)) == ARTIFACT


def test_address_that_was_checked_is_the_one_connected_to(tmp_path: Path, server: Server) -> None:
    """A name is resolved once; a second, different answer has no effect."""
    answers = [["127.0.0.1"], ["203.0.113.1"]]
    fetcher = HttpFetcher(allow_private_hosts=True, resolve=lambda host, port: answers.pop(0))
    store = CachedArtifactStore(tmp_path, fetchers=[fetcher])
    assert store.get(HASH, uris=(server.uri("good", host="model.example"),)) == ARTIFACT
    assert len(answers) == 1 and server.seen[-1][1]["Host"] == f"model.example:{server.port}"


def test_next_address_is_tried_when_one_does_not_answer(tmp_path: Path, server: Server) -> None:
    """A host with a dead address is reached at another."""
    fetcher = HttpFetcher(
        allow_private_hosts=True, connect_timeout_s=0.2, resolve=lambda host, port: ["::1", "127.0.0.1"]
    )
    store = CachedArtifactStore(tmp_path, fetchers=[fetcher])
    assert store.get(HASH, uris=(server.uri("good", host="model.example"),)) == ARTIFACT


@pytest.mark.parametrize(
    ("address", "public"),
    [
        *(("8.8.8.8", True), ("2606:4700::1", True), ("::ffff:8.8.8.8", True), ("64:ff9b::808:808", True)),
        *(("2002:7f00:1::", False), ("2002:a00:1::", False), ("224.0.0.1", False), ("fe80::1%eth0", False)),
    ],
)
def test_public_addresses_are_told_from_others(address: str, public: bool) -> None:
    """IPv6 forms that carry an IPv4 address count as that address."""
    assert addresses.is_public(address) is public


@pytest.mark.parametrize(
    "uri",
    [
        *("http://", "http://user@/", "http://127.0.0.1:99999/", "http://127.0.0.1:1/", "http://" + "a" * 300 + "/"),
        *("http://127.0.0.1\x00/", "http://a..b/", "http:good"),
    ],
)
def test_unusable_address_is_unavailable(store: CachedArtifactStore, uri: str) -> None:
    """Empty, impossible, unknown and closed: one typed error."""
    with pytest.raises(ArtifactUnavailable):
        store.get(HASH, uris=(uri,))


def test_private_host_that_is_named_leads_to_no_other(server: Server) -> None:
    """A mirror in one's own network is reached by its host and port alone: its redirects lead only to public hosts."""
    fetcher = HttpFetcher(private_origins=origins_of([server.uri("x"), "s3://bucket/x"]))
    assert b"".join(fetcher.open(server.uri("redirect"))) == ARTIFACT
    for uri in (server.uri("to-private"), server.uri("good", host="127.0.0.2"), f"http://127.0.0.1:{server.port + 1}/"):
        with pytest.raises(ArtifactUnavailable, match="public internet"):
            list(fetcher.open(uri))


def test_host_without_an_address_is_unavailable(tmp_path: Path) -> None:
    """What the resolver says is an outcome like any other."""

    def fail(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    store = CachedArtifactStore(tmp_path, fetchers=[HttpFetcher(resolve=fail)])
    with pytest.raises(ArtifactUnavailable):
        store.get(HASH, uris=("https://model.example/",))


def test_https_demands_a_trusted_certificate_for_the_name(tmp_path: Path, server: Server) -> None:
    """The right name under a trusted certificate works; another name, no trust, or no TLS does not."""
    pem = tmp_path / "tls.pem"
    pem.write_text(TLS)
    trusting = ssl.create_default_context(cadata=TLS[TLS.index("-----BEGIN CERT") :])
    secure = Server(tls=pem)

    def fetch(uri: str, context: ssl.SSLContext | None) -> Callable[[], bytes]:
        fetcher = HttpFetcher(
            allow_private_hosts=True, ssl_context=context, resolve=lambda host, port: ["127.0.0.1"], read_timeout_s=1
        )
        return lambda: b"".join(fetcher.open(uri))

    try:
        uri = secure.uri("good", scheme="https", host="model.example")
        assert fetch(uri, trusting)() == ARTIFACT
        for refused in (
            fetch(secure.uri("good", scheme="https", host="other.example"), trusting),
            fetch(uri, None),
            fetch(server.uri("good", scheme="https", host="model.example"), trusting),
        ):
            with pytest.raises(ArtifactUnavailable):
                refused()
    finally:
        secure.close()


def test_gateway_is_asked_for_a_raw_block_by_header_and_by_query(server: Server) -> None:
    """Gateways heed one or the other; one that heeds neither sends whole files, which are no blocks."""
    gateway = IpfsFetcher([f"http://127.0.0.1:{server.port}"], private=True, max_bytes=1 << 20)
    with pytest.raises(ArtifactUnavailable):
        next(gateway.open("ipfs://bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"))
    path, headers = server.seen[-1]
    assert path.endswith("?format=raw") and headers["Accept"] == "application/vnd.ipld.raw"
