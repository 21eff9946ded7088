from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.fake_node import IpfsNode, serving_node

from sworn.errors import ArtifactUnavailable, ConfigurationError
from sworn.storage import CachedArtifactStore
from sworn.storage.ipfs import IpfsFetcher
from sworn.storage.publishing import is_public, upload

ARTIFACT = bytes(range(256)) * 200
HASH = hashlib.sha256(ARTIFACT).digest()


@pytest.fixture
def node() -> Iterator[IpfsNode]:
    """An IPFS node."""
    with serving_node() as node:
        yield node


def test_upload_to_a_node_gives_an_address_that_can_be_fetched(node: IpfsNode, tmp_path: Path) -> None:
    """The file comes back through the node's own gateway, which lies in a private network because it is named."""
    uri = upload(f"ipfs+{node.url}", ARTIFACT)
    assert uri.startswith("ipfs://bafy") and node.added == [ARTIFACT]
    assert CachedArtifactStore(tmp_path / "a", gateways=[node.url]).get(HASH, uris=(uri,)) == ARTIFACT


def test_gateway_in_a_private_network_is_used_only_where_it_is_named(node: IpfsNode, tmp_path: Path) -> None:
    """Nobody else's word, a redirect included, leads into this machine's network."""
    uri = upload(f"ipfs+{node.url}", ARTIFACT)
    published = f"{node.url}/ipfs/{uri.removeprefix('ipfs://')}?format=raw"
    with pytest.raises(ArtifactUnavailable, match="public internet"):
        CachedArtifactStore(tmp_path, gateways=[node.url]).get(HASH, uris=(published,))
    with pytest.raises(ArtifactUnavailable, match="public internet"):
        list(IpfsFetcher([node.url], max_bytes=1 << 20).open(uri))


@pytest.mark.parametrize(
    "answer",
    [(500, b""), (302, b""), (200, b""), (200, b"{}"), (200, b'{"Hash": "bafy"}'), (200, b"[1]"), (200, b"\xff")],
)
def test_upload_to_a_node_that_answers_nonsense_is_typed(node: IpfsNode, answer: tuple[int, bytes]) -> None:
    """What a node says is not believed before it is a content id, and its address is shown without its password."""
    node.answer = answer
    with pytest.raises(ArtifactUnavailable) as caught:
        upload(f"ipfs+{node.url.replace('//', '//user:secret@')}", ARTIFACT)
    assert "secret" not in str(caught.value) and "127.0.0.1" in str(caught.value)


def test_upload_to_a_node_that_is_not_there_is_typed() -> None:
    """A refused connection names no password."""
    with pytest.raises(ArtifactUnavailable) as caught:
        upload("ipfs+http://user:secret@127.0.0.1:1", ARTIFACT)
    assert "secret" not in str(caught.value)


def test_upload_to_a_folder_replaces_links_and_leaves_no_parts(tmp_path: Path) -> None:
    """A link that somebody has put under the name is not followed; who serves the folder can read the file."""
    target = tmp_path / "mirror" / HASH.hex()
    target.parent.mkdir()
    (tmp_path / "victim").write_text("precious")
    target.symlink_to(tmp_path / "victim")
    uri = upload(f"{tmp_path}/mirror/", ARTIFACT)
    assert uri == str(target) and target.read_bytes() == ARTIFACT and not target.is_symlink()
    assert target.stat().st_mode & 0o777 == 0o644 and (tmp_path / "victim").read_text() == "precious"
    assert upload(f"file://{tmp_path}/mirror/{{sha256}}", ARTIFACT) == f"file://{target}"
    assert list(target.parent.iterdir()) == [target]
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactUnavailable):
        upload(f"{tmp_path}/file/", ARTIFACT)


@pytest.mark.parametrize(
    "target",
    [
        *("ftp://host/{sha256}", "https://host/{sha256}", "s3://bucket/model.onnx", "relative/", "ipfs://bafy"),
        *("file://host/a/{sha256}", "ipfs+http://", "ipfs+http://host/?key=secret"),
    ],
)
def test_upload_to_what_takes_no_files_is_refused(target: str) -> None:
    """A mistyped target is said before anything is sent, without what may be secret in it."""
    with pytest.raises(ConfigurationError) as caught:
        upload(target, ARTIFACT)
    assert "secret" not in str(caught.value)


def test_addresses_that_mean_nothing_to_others_are_known() -> None:
    """Paths on this machine, and buckets that nobody reads without credentials, are not announced."""
    assert [is_public(uri) for uri in ("/a", "file:///a", "az://c/a", "s3://b/a", "ipfs://c", "https://h/a")] == [
        *(False, False, False),
        *(True, True, True),
    ]
