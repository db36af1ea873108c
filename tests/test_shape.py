"""The shape of the package: its names, its floors, the cost of importing it."""

from __future__ import annotations

import ast
import pydoc
import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest
from aiohttp import web

import aiohttp_sess
import aiohttp_sess.storage

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "aiohttp_sess"

# An import only goes to a lower floor.
FLOORS = [
    {"cohort", "encoded", "errors", "label", "status", "storage.line"},
    {"config", "record", "secret", "storage.batches", "turns", "values"},
    {"events", "header_config", "lifetime", "storage.marks", "storage.stored", "watched"},
    {"operations"},
    {"edits", "storage.interface"},
    {"changes", "storage.pointer"},
    {"find", "late", "lifecycle", "mapping", "race", "sockets"}
    | {"storage.entry", "storage.exchanges"}
    | {"transport.interface"},
    {"committer", "doubts", "moved", "storage.ending", "terms"}
    | {"storage.scripts", "storage.seen"}
    | {"transport.cookie", "transport.header"},
    {"limit", "session", "storage.members", "storage.merged", "storage.rotation"},
    {"storage.keyed", "storage.pipelines", "storing"},
    {"storage.epoch", "storage.logins", "writes"},
    {"storage.indexed"},
    {"storage.redis_index"},
    {"commit", "storage.memcached", "storage.memory", "storage.redis", "storage.revocations"}
    | {"transport.several"},
    {"alive", "storage.cookie"},
    {"storage", "transport.arguments"},
    {"transport"},
    {"handle"},
    {"cleanup", "load", "saving"},
    {"visit"},
    {"heard"},
    {"visits"},
    {"middleware"},
    {"owners"},
    {"", "__main__"},
    {"otel"},
    {"testing"},
]

# What only these modules may know of the world outside.
OUTSIDE = {
    "aiohttp": {"heard", "visit", "visits", "middleware", "owners", "testing"}
    | {f"transport.{name}" for name in ("arguments", "cookie", "header", "interface")},
    "aiomcache": {"storage.exchanges", "storage.memcached"},
    "cryptography": {"secret"},
    "opentelemetry": {"otel"},
    "pytest": {"testing"},
    "redis": {f"storage.{name}" for name in ("merged", "pipelines", "redis", "redis_index")},
}


def modules() -> dict[str, Path]:
    """Every module by its name within the package; a part of testing counts as testing."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = path
    return found


def imports(name: str, path: Path) -> set[str]:
    """The absolute names of all that a module imports."""
    package = ["aiohttp_sess", *filter(None, name.split("."))]
    if path.name != "__init__.py":
        package.pop()
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            found.add(".".join([*base, *filter(None, [node.module])]))
    return found


def place(name: str) -> str:
    """A module's name in `FLOORS`."""
    return "testing" if name.split(".")[0] == "testing" else name


def floor(name: str) -> int:
    """The number of a module's floor."""
    floors = [number for number, names in enumerate(FLOORS) if place(name) in names]
    assert len(floors) == 1, f"{name} has {len(floors)} places in FLOORS"
    return floors[0]


@pytest.mark.parametrize("name", modules())
def test_imports_only_go_downwards(name: str) -> None:
    for imported in imports(name, modules()[name]):
        if imported.split(".")[0] != "aiohttp_sess":
            continue
        inner = imported.removeprefix("aiohttp_sess").lstrip(".")
        if place(name) == place(inner) == "testing":
            continue
        assert floor(inner) < floor(name), f"{name or 'aiohttp_sess'} imports {inner}"


@pytest.mark.parametrize("name", modules())
def test_few_modules_know_the_outside(name: str) -> None:
    for imported in imports(name, modules()[name]):
        top = imported.split(".")[0]
        if top in OUTSIDE:
            assert place(name) in OUTSIDE[top], f"{name} imports {top}"


def test_the_table_of_modules_names_all() -> None:
    table = (ROOT / "docs" / "modules.rst").read_text()
    named = {name for name in modules() if not name.startswith("testing.")}
    unnamed = {"", "__main__", "storage"}  # public names, the command line
    assert {name for name in named - unnamed if f"``{name}``" not in table} == set()


@pytest.mark.parametrize("name", modules())
def test_no_module_is_long(name: str) -> None:
    assert len(modules()[name].read_text().splitlines()) <= 250


@pytest.mark.parametrize("name", modules())
def test_every_module_imports_alone(name: str) -> None:
    python("-W", "error", "-c", f"import {'.'.join(filter(None, ['aiohttp_sess', name]))}")


def test_optional_dependencies_are_optional() -> None:
    blocked = ["redis", "aiomcache", "opentelemetry", "pytest", "pytest_asyncio"]
    python(
        "-c",
        f"import sys; sys.modules.update(dict.fromkeys({blocked}))\n"
        "import aiohttp_sess, aiohttp_sess.storage\n",
    )
    loaded = python("-c", "import sys, aiohttp_sess.storage; print(*sys.modules)").split()
    assert not set(blocked) & set(loaded)


@pytest.mark.parametrize(
    ("name", "module", "client"),
    [
        ("redis", "storage.redis", "redis"),
        ("memcached", "storage.memcached", "aiomcache"),
        ("otel", "otel", "opentelemetry"),
    ],
)
def test_a_missing_client_names_the_extra(name: str, module: str, client: str) -> None:
    out = python(
        "-c",
        f"import sys; sys.modules[{client!r}] = None\n"
        f"try: import aiohttp_sess.{module}\n"
        "except ImportError as error: print(error)\n",
    )
    assert f"aiohttp-sess[{name}]" in out


def test_the_public_names() -> None:
    assert sorted(aiohttp_sess.__all__) == [
        "Binding",
        "BrowserSession",
        "CookieConfig",
        "CookieContentSecurity",
        "CookieTooLarge",
        "DeserializationError",
        "HeaderConfig",
        "HeaderTooLarge",
        "InvalidSessionKey",
        "Lifecycle",
        "OwnedSession",
        "PersistentSession",
        "SecretKey",
        "SerializationError",
        "Session",
        "SessionConflict",
        "SessionError",
        "SessionGone",
        "SessionHandle",
        "SessionLimitPolicy",
        "SessionRecord",
        "SessionStatus",
        "SessionValueError",
        "StateKey",
        "StorageError",
        "StorageUnavailable",
        "StoredRecord",
        "TooManySessions",
        "TtlExtensionPolicy",
        "end_sessions",
        "get_session",
        "new_session",
        "sessions_of",
        "setup",
    ]
    assert sorted(aiohttp_sess.storage.__all__) == [
        "AbstractStorage",
        "CookieStorage",
        "Entry",
        "KeyedStorage",
        "ListedRecord",
        "MemoryStorage",
        "SessionKey",
        "StoredRecord",
        "Version",
    ]
    for module in (aiohttp_sess, aiohttp_sess.storage):
        assert all(hasattr(module, name) for name in module.__all__)


def test_the_version_is_in_one_place() -> None:
    tracked = [path for path in tracked_files() if path.suffix in {".py", ".toml", ".cfg"}]
    version = re.escape(aiohttp_sess.__version__)
    places = [path for path in tracked if re.search(rf'"{version}"', path.read_text())]
    assert places == [PACKAGE / "__init__.py"]


def test_no_path_of_a_machine_is_in_the_project() -> None:
    pattern = re.compile("/" + "(home|root|work|Users)/")
    for path in tracked_files():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        assert not pattern.search(text), path


def python(*args: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, *args], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def tracked_files() -> list[Path]:
    """The files of the project, as git knows them; where it does not, all but what is made."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
        ).stdout.split("\0")
    except (OSError, subprocess.CalledProcessError):
        ignored = [line.strip("/") for line in (ROOT / ".gitignore").read_text().splitlines()]
        paths = [path.relative_to(ROOT) for path in ROOT.rglob("*")]
        listed = [
            str(path)
            for path in paths
            if not any(fnmatch(part, name) for part in path.parts for name in [".git", *ignored])
        ]
    return [path for path in map(ROOT.joinpath, filter(None, listed)) if path.is_file()]


def test_help_says_what_a_handle_has() -> None:
    handle = aiohttp_sess.setup(web.Application(), aiohttp_sess.storage.MemoryStorage())
    shown = pydoc.plain(pydoc.render_doc(handle))
    for name in ("conflict_timeout", "conflicts", "cookie", "events", "lifecycle", "name"):
        assert f"``{name}``" in shown and hasattr(handle, name)
    assert "rotation_grace" in shown
