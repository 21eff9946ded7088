"""Puts artifacts where others, or one's own watchers, can fetch them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

import requests

from sworn.errors import ArtifactUnavailable, CodecError, ConfigurationError
from sworn.storage.buckets import VENDORS, write_object
from sworn.storage.fetching import mask_uri, split_uri
from sworn.storage.files import write_whole
from sworn.storage.ipld import parse_cid
from sworn.storage.mirrors import PLACEHOLDER, check_template, filled

#: Prefix of the addresses of IPFS nodes: ``ipfs+http://127.0.0.1:5001``.
NODE_SCHEMES: Final = frozenset({"ipfs+http", "ipfs+https"})
_TIMEOUT_S: Final = 600.0
_ANSWER_BYTES: Final = 1 << 16


def upload(target: str, artifact: bytes) -> str:
    """Puts an artifact to a target, and returns its URI there.

    Targets are buckets and folders with ``{sha256}`` in the path (added after a last slash), and IPFS nodes. Raises
    `ConfigurationError` for anything else, and `ArtifactUnavailable`.
    """
    scheme = split_uri(target).scheme
    if scheme in NODE_SCHEMES:
        return _to_node(target.removeprefix("ipfs+"), artifact)
    template = target + PLACEHOLDER if target.endswith("/") else target
    uri = filled(check_template(template), hashlib.sha256(artifact).digest())
    if scheme in VENDORS:
        write_object(uri, artifact)
    elif scheme in ("", "file") and split_uri(uri).netloc in ("", "localhost"):
        try:
            write_whole(Path(unquote(split_uri(uri).path)), artifact)
        except OSError as error:
            raise ArtifactUnavailable(f"{mask_uri(uri)}: {error.strerror}") from error
    else:
        kinds = ", ".join([*(f"{name}://" for name in sorted(VENDORS)), *sorted(NODE_SCHEMES), "file://"])
        raise ConfigurationError(f"artifacts are put to {kinds} and absolute paths, not to {mask_uri(target)}")
    return uri


def is_public(uri: str) -> bool:
    """Whether an address could mean anything to others."""
    return split_uri(uri).scheme not in ("", "file", "az")


def _to_node(url: str, artifact: bytes) -> str:
    """Adds and pins a file at an IPFS node (https://docs.ipfs.tech/reference/kubo/rpc/#api-v0-add)."""
    parts = urlsplit(url)
    if not parts.hostname or parts.query:
        raise ConfigurationError("an IPFS node is named by its address alone, such as ipfs+http://127.0.0.1:5001")
    shown = f"ipfs+{mask_uri(url)}"
    try:
        with requests.post(
            f"{url.rstrip('/')}/api/v0/add",
            params={"cid-version": "1", "raw-leaves": "true", "pin": "true"},
            files={"file": ("artifact", artifact, "application/octet-stream")},
            timeout=_TIMEOUT_S,
            allow_redirects=False,
            stream=True,
        ) as answer:
            if answer.status_code != requests.codes.ok:
                raise ArtifactUnavailable(f"{shown}: answered {answer.status_code}")
            said = answer.raw.read(_ANSWER_BYTES, decode_content=True)
    except requests.RequestException as error:
        # The library's messages quote the whole address, and with it a password.
        raise ArtifactUnavailable(f"{shown}: {type(error).__name__}") from None
    return f"ipfs://{_cid_in(said, shown)}"


def _cid_in(said: bytes, shown: str) -> str:
    try:
        return str(parse_cid(str(json.loads(said.strip().rpartition(b"\n")[2])["Hash"])))
    except (ValueError, KeyError, TypeError, CodecError) as error:
        raise ArtifactUnavailable(f"{shown}: answered without a content id") from error
