"""``python -m aiohttp_sess``."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from aiohttp_sess import SecretKey


def run(monkeypatch: pytest.MonkeyPatch, *args: str) -> None:
    """Run the command in this process."""
    monkeypatch.setattr(sys, "argv", ["aiohttp_sess", *args])
    runpy.run_module("aiohttp_sess", run_name="__main__")


def test_generate_key_prints_a_key_and_nothing_else() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "aiohttp_sess", "generate-key"],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent.parent,
    )
    assert re.fullmatch(r"[A-Za-z0-9_-]{64}\n", done.stdout)
    assert done.stderr == ""


def test_the_key_can_be_used_as_it_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = set()
    for _ in range(3):
        run(monkeypatch, "generate-key")
        monkeypatch.setenv("SESSION_KEY", capsys.readouterr().out.rstrip("\n"))
        keys.add(SecretKey.from_env("SESSION_KEY"))
    assert len(keys) == 3


@pytest.mark.parametrize("wrong", [[], ["generate-keys"], ["generate-key", "64"]])
def test_anything_else_says_what_there_is(
    wrong: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, *wrong)
    assert ended.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "usage: python -m aiohttp_sess" in captured.err
    assert "generate-key" in captured.err or wrong == ["generate-key", "64"]


def test_help_explains(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, "--help")
    assert ended.value.code == 0
    assert "secret key of 48 random bytes for setup()" in capsys.readouterr().out
