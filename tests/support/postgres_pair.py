"""Two real PostgreSQL servers, the second one replicating the first: what operators fail over."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg

_NAME = "sworn"
#: Kept short: what is waited for here is another process on the same machine.
_PATIENCE_S = 30.0


def programs() -> Path | None:
    """Where a distribution has put PostgreSQL's programs; None where it has not."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_basebackup"), key=lambda path: int(path.parts[4]))
    return found[-1].parent if found else None


ABSENT = "PostgreSQL's programs are not in /usr/lib/postgresql: apt-get install postgresql"


@dataclass(frozen=True, slots=True)
class Server:
    """One server, by its folder and port."""

    folder: Path
    port: int

    @property
    def url(self) -> str:
        """To itself alone, whatever it may do."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{_NAME}"

    def start(self, **settings: str) -> None:
        """Starts it with settings for this time."""
        given = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": self.folder.parent,
            # Processes are killed in tests, the machine is not.
            "fsync": "off",
            **settings,
        }
        options = " ".join(f"-c {name}='{value}'" for name, value in given.items())
        _run("pg_ctl", "start", "-w", "-D", self.folder, "-l", f"{self.folder}.log", "-o", options)

    def crash(self) -> None:
        """Ends it as a crash does: nothing is written, nobody is told."""
        _run("pg_ctl", "stop", "-m", "immediate", "-D", self.folder)

    def promote(self) -> None:
        """Makes a standby the one that is written to."""
        _run("pg_ctl", "promote", "-w", "-D", self.folder)

    def asked(self, statement: str) -> list[tuple[object, ...]]:
        """Runs one statement."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


@dataclass(frozen=True, slots=True)
class Pair:
    """A primary, and a standby that replicates it."""

    primary: Server
    standby: Server

    @property
    def url(self) -> str:
        """To whichever of them may be written to, as operators are advised."""
        hosts = "&".join(f"host=127.0.0.1:{server.port}" for server in (self.primary, self.standby))
        return f"postgresql://postgres@/{_NAME}?{hosts}&target_session_attrs=read-write"

    def cut(self) -> None:
        """Lets the standby hear nothing more, as if the line between them were full."""
        ((process,),) = self.primary.asked("SELECT pid FROM pg_stat_replication")
        os.kill(int(str(process)), 19)

    def in_step(self) -> bool:
        """Whether the standby has everything."""
        rows = self.primary.asked("SELECT replay_lsn >= pg_current_wal_lsn() FROM pg_stat_replication")
        return rows == [(True,)]


@contextmanager
def pair(*, synchronous: bool) -> Iterator[Pair]:
    """Both running, with an empty database; ``synchronous``: a commit waits for the standby."""
    folder = Path(tempfile.mkdtemp(prefix="sworn-pair-"))
    _give(folder)
    servers = Pair(Server(folder / "one", _free_port()), Server(folder / "two", _free_port()))
    try:
        _run("initdb", "-A", "trust", "-U", "postgres", "-D", servers.primary.folder)
        servers.primary.start(synchronous_standby_names="*" if synchronous else "")
        # Until there is a standby, a commit here must not wait for one.
        _run("psql", "-h", "127.0.0.1", "-p", servers.primary.port, "-U", "postgres", "-c",
             "SET synchronous_commit = local", "-c", f"CREATE DATABASE {_NAME}")  # fmt: skip
        source = ("-h", "127.0.0.1", "-p", servers.primary.port, "-U", "postgres")
        _run("pg_basebackup", *source, "-D", servers.standby.folder, "-R", "-X", "stream", "-c", "fast")
        servers.standby.start()
        deadline = time.monotonic() + _PATIENCE_S
        while not servers.in_step():
            assert time.monotonic() < deadline, "the standby does not follow"
            time.sleep(0.1)
        yield servers
    finally:
        for server in (servers.standby, servers.primary):
            with suppress(subprocess.CalledProcessError):
                server.crash()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def encrypted(certificate: Path, key: Path) -> Iterator[Server]:
    """One server that speaks TLS, and nothing else over TCP."""
    folder = Path(tempfile.mkdtemp(prefix="sworn-tls-"))
    for source in (certificate, key):
        own = Path(shutil.copy(source, folder))
        own.chmod(0o600)
        _give(own)
    _give(folder)
    server = Server(folder / "one", _free_port())
    try:
        _run("initdb", "-A", "trust", "-U", "postgres", "-D", server.folder)
        (server.folder / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 trust\n")
        files = {"ssl_cert_file": str(folder / certificate.name), "ssl_key_file": str(folder / key.name)}
        server.start(ssl="on", **files)
        _run("createdb", "-h", "127.0.0.1", "-p", server.port, "-U", "postgres", _NAME)
        yield server
    finally:
        with suppress(subprocess.CalledProcessError):
            server.crash()
        shutil.rmtree(folder, ignore_errors=True)


def _give(path: Path) -> None:
    # The server refuses to be root, as tests may be.
    if os.geteuid() == 0:
        shutil.chown(path, "postgres", "postgres")


def _run(program: str, *arguments: object) -> None:
    folder = programs()
    assert folder is not None, ABSENT
    as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    command = [*as_user, str(folder / program), *map(str, arguments)]
    # Not a pipe: the server would keep it open.
    with tempfile.TemporaryFile() as said:
        done = subprocess.run(command, stdout=said, stderr=said, cwd="/", check=False)
        if done.returncode:
            said.seek(0)
            raise subprocess.CalledProcessError(done.returncode, command, said.read().decode())


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])
