"""Private Redis and memcached servers for the tests: processes on free loopback ports."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeVar

HOST = "127.0.0.1"
_PATIENCE = 10.0  # seconds for a server to answer
_ATTEMPTS = 5  # a port that was free may be taken a moment later


class MissingServerError(RuntimeError):
    """A server's program is not there."""


def free_port() -> int:
    """A loopback port that nobody listens on right now."""
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        port: int = sock.getsockname()[1]
        return port


class Question(NamedTuple):
    """What makes a server name its process id.

    :param text: what to send.
    :param until: how the whole answer ends.
    :param answer: what is in it, with the id in the place of ``%d``.
    """

    text: bytes
    until: bytes
    answer: bytes


@dataclass
class Server:
    """A server process; it can be stopped, and started again on its port."""

    command: Callable[[int], list[str]]
    who: Question
    port: int = field(default_factory=free_port)
    host: str = HOST
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = self.command(self.port)
        if shutil.which(command[0]) is None:
            raise MissingServerError(f"the tests need {command[0]}: `make servers` installs it")
        with tempfile.TemporaryFile() as output:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
            up = False
            try:
                up = self._comes_up()
            finally:
                if not up:
                    self.stop()
            if not up:
                output.seek(0)
                said = output.read().decode(errors="replace")
                raise RuntimeError(f"{command[0]} does not start on port {self.port}:\n{said}")

    def stop(self) -> None:
        """End the process, this one and no other."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @property
    def pid(self) -> int:
        """The process's id."""
        assert self._process is not None
        return self._process.pid

    def ask(self, question: bytes, until: bytes) -> bytes:
        """Send raw bytes and read until the answer ends with ``until``."""
        with socket.create_connection((self.host, self.port), timeout=_PATIENCE) as sock:
            sock.sendall(question)
            answer = b""
            while not answer.endswith(until):
                part = sock.recv(65536)
                if not part:
                    break
                answer += part
            return answer

    def _comes_up(self) -> bool:
        assert self._process is not None
        deadline = time.monotonic() + _PATIENCE
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                if self.who.answer % self.pid in self.ask(self.who.text, self.who.until):
                    return True
            except OSError:
                pass  # not yet
            # Or an answer of another server's: it has taken the port, so this one will end.
            time.sleep(0.01)
        return False


@dataclass
class RedisServer(Server):
    """A Redis without persistence, on a port and on a unix socket."""

    socket_path: str = ""

    @property
    def url(self) -> str:
        """Its URL."""
        return f"redis://{self.host}:{self.port}"

    @property
    def unix_url(self) -> str:
        """The URL of its unix socket."""
        return f"unix://{self.socket_path}"


@dataclass
class MemcachedServer(Server):
    """A memcached."""


# Redis's INFO and memcached's stats.
_REDIS_SAYS = Question(b"INFO server\r\n", b"\r\n\r\n", b"process_id:%d\r\n")
_MEMCACHED_SAYS = Question(b"stats\r\n", b"END\r\n", b"STAT pid %d\r\n")

S = TypeVar("S", bound=Server)


def _started(make: Callable[[], S]) -> S:
    for attempt in range(_ATTEMPTS):
        server = make()
        try:
            server.start()
        except MissingServerError:
            raise
        except RuntimeError:
            if attempt == _ATTEMPTS - 1:
                raise
        else:
            return server
    raise AssertionError("unreachable")


@contextmanager
def start_redis(*args: str) -> Iterator[RedisServer]:
    """A Redis of one's own.

    :param args: more arguments for redis-server.
    """
    with tempfile.TemporaryDirectory(prefix="redis-") as folder:
        path = str(Path(folder) / "redis.sock")

        def command(port: int) -> list[str]:
            return [
                "redis-server", "--port", str(port), "--bind", HOST, "--unixsocket", path,
                "--save", "", "--appendonly", "no", "--dir", folder, *args,
            ]  # fmt: skip

        server = _started(lambda: RedisServer(command, _REDIS_SAYS, socket_path=path))
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def start_memcached(*args: str) -> Iterator[MemcachedServer]:
    """A memcached of one's own.

    :param args: more arguments for memcached.
    """

    def command(port: int) -> list[str]:
        # memcached refuses to run as root without being told as whom; nobody else is needed here.
        return ["memcached", "-u", "root", "-l", HOST, "-p", str(port), "-U", "0", *args]

    server = _started(lambda: MemcachedServer(command, _MEMCACHED_SAYS))
    try:
        yield server
    finally:
        server.stop()
