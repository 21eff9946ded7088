"""Settings about model files: where they come from, and how much of them is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, SecretStr
from pydantic_settings import NoDecode

from sworn.errors import ConfigurationError
from sworn.storage.fetching import mask_own_uri
from sworn.storage.mirrors import check_template
from sworn.watcher.settings_values import url_parts

_STRICT = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def _checked_mirror(value: SecretStr) -> SecretStr:
    try:
        check_template(value.get_secret_value())
    except ConfigurationError as error:
        # As the other validators say it: without the value, which may hold a password.
        raise ValueError(str(error)) from None
    return value


def _checked_gateway(value: SecretStr) -> SecretStr:
    parts = url_parts(value.get_secret_value(), "http", "https")
    if parts is None or parts.query:
        raise ValueError("expected the http(s) address of a gateway, such as http://127.0.0.1:8080")
    return value


def _shown(value: SecretStr) -> str:
    return mask_own_uri(value.get_secret_value())


_Masked = PlainSerializer(_shown, return_type=str)
MirrorAddress = Annotated[SecretStr, AfterValidator(_checked_mirror), _Masked]
GatewayAddress = Annotated[SecretStr, AfterValidator(_checked_gateway), _Masked]
#: Kinds of buckets that can be read without credentials.
BucketScheme = Annotated[str, Field(pattern="^(s3|gs)$")]


class ArtifactSettings(BaseModel):
    """Where model files are cached and fetched from."""

    model_config = _STRICT

    #: Folder of the cache; None = below the home directory.
    cache: Path | None = None
    #: Of all cached files together; pinned ones, and those that are served, are never removed.
    cache_bytes: Annotated[int, Field(ge=1 << 20)] = 20 << 30
    #: Of one file.
    max_bytes: Annotated[int, Field(ge=1 << 10, le=16 << 30)] = 256 << 20
    #: Mirrors of one's own, asked before published ones: s3://bucket/{sha256}, https://…, /srv/models/{sha256}.
    mirrors: tuple[MirrorAddress, ...] = ()
    #: Trustless gateways of IPFS; they may lie in private networks. None = public ones; empty = ipfs:// is not used.
    ipfs_gateways: Annotated[tuple[GatewayAddress, ...], Field(max_length=8)] | None = None
    #: Kinds of buckets that are read, without credentials, where others have published addresses in them.
    published_buckets: tuple[BucketScheme, ...] = ()
    #: Seconds for one mirror.
    timeout_s: Annotated[float, Field(gt=0, le=86_400)] = 600.0
    #: Seconds for which a mirror that gave wrong bytes is not asked again.
    distrust_s: Annotated[float, Field(ge=0, le=86_400)] = 600.0


def _named_by_folder(value: Any) -> Any:
    if isinstance(value, str) and "://" in value:
        raise ValueError("expected the cache's folder, or a table: addresses go into artifacts.mirrors")
    return {"cache": value} if isinstance(value, str | Path) else value


#: The table ``artifacts``, or no more than the cache's folder.
Artifacts = Annotated[ArtifactSettings, NoDecode, BeforeValidator(_named_by_folder)]
