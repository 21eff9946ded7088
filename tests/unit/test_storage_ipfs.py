from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.ipfs_dag import (
    DAG_PB,
    FILE,
    RAW,
    SHARDED,
    SYMLINK,
    Dag,
    Gateways,
    cid_bytes,
    cid_text,
    node,
    tagged,
    unixfs,
    varint,
)

from sworn.errors import ArtifactTooLarge, ArtifactUnavailable, CodecError
from sworn.storage import CachedArtifactStore
from sworn.storage.ipfs import IpfsFetcher
from sworn.storage.ipld import NodeKind, parse_cid, read_cid, read_node

CONTENT = bytes(range(256)) * 100
HASH = hashlib.sha256(CONTENT).digest()


@pytest.fixture
def dag() -> Dag:
    """An empty store of blocks."""
    return Dag()


def fetcher(dag: Dag, *hosts: str, max_bytes: int = 1 << 20, **answers: Callable[[bytes], bytes]) -> IpfsFetcher:
    """A fetcher over gateways that exist in this process only."""
    gateways = Gateways(dag=dag, answers=answers)
    names = [f"https://{host}" for host in hosts or ("good",)]
    return IpfsFetcher(names, max_bytes=max_bytes, fetcher=gateways)


def read(source: IpfsFetcher, binary: bytes, path: str = "") -> bytes:
    """The whole file."""
    return b"".join(source.open(f"ipfs://{cid_text(binary)}{path}"))


def asked(source: IpfsFetcher) -> list[str]:
    """What the gateways were asked for."""
    gateways = source._fetcher
    assert isinstance(gateways, Gateways)
    return gateways.asked


def test_content_ids_of_published_files_are_understood() -> None:
    """Ids that other software has made, in both versions and three bases, name the blocks that they must."""
    greeting = b"\x0a\x12\x08\x02\x12\x0chello world\n\x18\x0c"
    old = parse_cid("QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o")
    assert old.names(greeting) and read_node(old, greeting).data == b"hello world\n"
    raw = parse_cid("bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e")
    assert raw.names(b"hello world") and read_node(raw, b"hello world").kind is NodeKind.RAW
    assert str(raw) == "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"
    assert parse_cid("f" + cid_bytes(RAW, b"hello world").hex()) == raw
    assert parse_cid("zb2rhj7crUKTQYRGCRATFaQ6YFLTde2YzdqbbhAASkL9uRDXn") == raw


@pytest.mark.parametrize(
    "text",
    [
        *("", "b", "z", "Qm", "Qm0OIl", "k51qzi5uqu5d", "bafy!", "b" * 200, "f01", "QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQa"),
        "f" + (b"\x01\x55\x00\x05hello").hex(),
        "f" + (b"\x01\x55\x13\x40" + bytes(64)).hex(),
        "f" + (b"\x01\x71\x12\x20" + bytes(32)).hex(),
        "f" + (b"\x02\x55\x12\x20" + bytes(32)).hex(),
        "f" + (b"\x01\x55\x12\x20" + bytes(33)).hex(),
    ],
)
def test_content_id_of_anything_else_is_refused(text: str) -> None:
    """Identity hashes, other hashes, codecs and versions, mistyped ones: an id that proves nothing opens nothing."""
    with pytest.raises(CodecError):
        parse_cid(text)


@pytest.mark.parametrize(("chunk", "raw"), [(1000, True), (1000, False), (100_000, True), (100_000, False), (7, True)])
def test_file_of_many_blocks_is_put_together(dag: Dag, chunk: int, raw: bool) -> None:
    """Leaves with and without their own header, one block or thousands, give the same bytes."""
    assert read(fetcher(dag), dag.file(CONTENT, chunk=chunk, fanout=174, raw=raw)) == CONTENT
    assert read(fetcher(dag), dag.file(b"", raw=raw)) == b""


def test_file_in_a_directory_is_found_by_its_path(dag: Dag) -> None:
    """A path names a file below a directory, and nothing else."""
    inner = dag.directory([(dag.file(CONTENT), "my model.onnx"), (dag.file(b"x"), "twice"), (dag.file(b"y"), "twice")])
    root = dag.directory([(inner, "models"), (dag.add(DAG_PB, node(unixfs(SYMLINK, data=b"/etc/passwd"))), "link")])
    assert read(fetcher(dag), root, "/models/my%20model.onnx") == CONTENT
    for path in ("", "/models", "/models/none", "/models/twice", "/link", "/models/../models/my%20model.onnx"):
        with pytest.raises(ArtifactUnavailable):
            read(fetcher(dag), root, path)
    with pytest.raises(ArtifactUnavailable, match="several blocks"):
        read(fetcher(dag), dag.directory([(inner, "AAmodels")], kind=SHARDED), "/models")


def test_gateway_that_lies_is_passed_over(dag: Dag) -> None:
    """A block with other bytes is not used, the next gateway is asked, and the liar comes last from then on."""
    source = fetcher(dag, "liar", "dead", "good", liar=lambda block: block + b"\x00", dead=lambda block: b"")
    assert read(source, dag.file(CONTENT)) == CONTENT
    liar = [url for url in asked(source) if url.startswith("https://liar")]
    assert len(liar) <= 8 < len(asked(source)) - 2 * len(liar)


def test_gateways_that_all_lie_are_each_named(dag: Dag) -> None:
    """The error says what every gateway did."""
    source = fetcher(dag, "liar", "thief", liar=lambda block: b"other", thief=lambda block: bytes(3 << 20))
    with pytest.raises(ArtifactUnavailable) as caught:
        read(source, dag.file(CONTENT))
    assert "https://liar answered with other bytes" in str(caught.value) and "for one block" in str(caught.value)


def test_file_over_the_limit_is_refused_by_its_root_alone(dag: Dag) -> None:
    """What is too large is known from one block; nothing else is fetched."""
    source = fetcher(dag, max_bytes=len(CONTENT) - 1)
    with pytest.raises(ArtifactTooLarge):
        read(source, dag.file(CONTENT))
    assert len(asked(source)) == 1


def test_file_whose_blocks_say_less_than_they_hold_is_refused(dag: Dag) -> None:
    """A root that says one byte brings no more: a bomb ends at the first block that breaks its parent's word."""
    huge = dag.add(DAG_PB, node(unixfs(FILE, data=bytes(5000))))
    for sizes, size in (([1], 1), ([1], 5000), ([5000], 1), ([5001], 5001), ([], 0)):
        root = dag.add(DAG_PB, node(unixfs(FILE, sizes=sizes, size=size), [(huge, "")]))
        with pytest.raises(ArtifactUnavailable):
            read(fetcher(dag), root)


def test_file_that_names_one_block_a_billion_times_ends(dag: Dag, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thirty blocks of nothing, each naming the next twice, would be walked for years."""
    monkeypatch.setattr("sworn.storage.ipfs._MAX_BLOCKS", 500)
    level = (dag.add(DAG_PB, node(unixfs(FILE))), 0)
    for _ in range(14):
        level = dag.parent([level, level])
    source = fetcher(dag)
    with pytest.raises(ArtifactUnavailable, match="more than 500 blocks"):
        read(source, level[0])
    assert len(asked(source)) <= 500
    for _ in range(5):
        level = dag.parent([level])
    with pytest.raises(ArtifactUnavailable, match="deeper"):
        read(fetcher(dag), level[0])


@pytest.mark.parametrize(
    "block",
    [
        *(b"", b"\xff", tagged(1, b""), tagged(1, tagged(1, 99)), tagged(3, 1), tagged(1, b"\x80" * 12)),
        *(varint(1 << 3 | 2) + varint(100) + b"short", varint(1 << 3 | 5) + b"1234", node(unixfs(FILE)) * 2),
        node(unixfs(FILE, sizes=[1])),
        tagged(2, tagged(2, b"no target")) + tagged(1, unixfs(FILE, sizes=[1])),
        tagged(2, tagged(1, b"\x01\x55\x00\x00")) + tagged(1, unixfs(FILE, sizes=[0])),
    ],
)
def test_block_that_is_no_file_node_is_refused(dag: Dag, block: bytes) -> None:
    """Whatever a stranger has hashed and published is one typed error."""
    with pytest.raises(ArtifactUnavailable):
        read(fetcher(dag), dag.add(DAG_PB, block))


def test_sizes_in_packed_form_are_read(dag: Dag) -> None:
    """Encoders may write the sizes one by one or together."""
    leaves = [dag.add(RAW, part) for part in (b"ab", b"cde")]
    payload = tagged(1, FILE) + tagged(3, 5) + tagged(4, bytes((2, 3)))
    assert read(fetcher(dag), dag.add(DAG_PB, node(payload, [(leaf, "") for leaf in leaves]))) == b"abcde"
    assert read_cid(leaves[0]).names(b"ab")


def test_fetch_that_takes_too_long_ends_between_blocks(dag: Dag) -> None:
    """Gateways that answer just in time, block after block, do not hold up the other mirrors."""
    ticks = iter(range(10_000))
    gateways = Gateways(dag=dag)
    source = IpfsFetcher(
        ["https://slow"], max_bytes=1 << 20, total_timeout_s=10, fetcher=gateways, clock=lambda: next(ticks)
    )
    with pytest.raises(ArtifactUnavailable, match="in time"):
        read(source, dag.file(CONTENT))
    assert len(gateways.asked) <= 10


def test_artifact_from_ipfs_is_cached_like_any_other(dag: Dag, tmp_path: Path) -> None:
    """The store compares the artifact's own hash besides, and the second read asks no gateway."""
    source = fetcher(dag)
    store = CachedArtifactStore(tmp_path, fetchers=[source])
    uri = f"ipfs://{cid_text(dag.file(CONTENT))}"
    assert store.get(HASH, uris=(uri,)) == store.get(HASH, uris=(uri,)) == CONTENT
    count = len(asked(source))
    with pytest.raises(ArtifactUnavailable):
        CachedArtifactStore(tmp_path / "other", gateways=[]).get(HASH, uris=(uri,))
    assert len(asked(source)) == count
