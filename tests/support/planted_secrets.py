"""Secrets that are easy to find again, in every place where an operator keeps one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sworn.chain.keystore import import_key

#: Every planted text contains it; URL-safe, so that no encoding hides it.
MARK = "S3CR3T"
PASSWORD = f"pw-{MARK}-keystore"
TOKEN = f"tok-{MARK}-signer"
#: What children of the process must not inherit.
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": f"AKIA{MARK}ID",
    "AWS_SECRET_ACCESS_KEY": f"aws-{MARK}-key",
    "AWS_SESSION_TOKEN": f"aws-{MARK}-session",
    "SWORN_UNRELATED_TOKEN": f"env-{MARK}",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """A folder with settings that hold secrets, and what those are."""

    folder: Path
    settings: Path
    #: Private keys as hexadecimal text.
    keys: tuple[str, ...]
    #: Files that hold secrets because they are meant to.
    meant: frozenset[Path]

    @property
    def texts(self) -> tuple[str, ...]:
        """What must be found nowhere else."""
        return (MARK, MARK.lower(), MARK.encode().hex(), *self.keys)

    def found_in(self, *contents: str | bytes) -> list[str]:
        """Secrets that some contents hold."""
        raw = [content.encode() if isinstance(content, str) else content for content in contents]
        return [text for text in self.texts if any(text.encode() in content for content in raw)] + [
            f"raw {key[:6]}" for key in self.keys if any(bytes.fromhex(key) in content for content in raw)
        ]

    def files(self) -> Iterable[Path]:
        """Everything in the folder that is not meant to hold a secret."""
        return (path for path in self.folder.rglob("*") if path.is_file() and path not in self.meant)


def plant(folder: Path, *, keys: tuple[bytes, bytes], rpc: str, database: str, body: str) -> Planted:
    """Writes key files, their password, a token, and settings: URLs end in ``/KEY`` and get secret credentials."""
    (folder / "password").write_text(PASSWORD + "\n")
    (folder / "token").write_text(TOKEN + "\n")
    files = [import_key(folder / "keys", key, PASSWORD, scrypt_rounds=2).path for key in keys]
    settings = folder / "sworn.toml"
    text = body.format(rpc=f"{rpc}/?apikey=rpc-{MARK}", database=database, transaction=files[0], result=files[1])
    settings.write_text(text)
    return Planted(
        folder=folder,
        settings=settings,
        keys=tuple(key.hex() for key in keys),
        meant=frozenset({settings, folder / "password", folder / "token"}),
    )
