"""Moments, spans of time and browsers in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from demo.words import device_in_words, from_now, in_words

APPLE = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
CHROME = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0"


@pytest.mark.parametrize(
    ("time", "words"),
    [
        (timedelta(seconds=-1), "0 seconds"),
        (timedelta(seconds=1), "1 second"),
        (timedelta(seconds=59.4), "59 seconds"),
        (timedelta(seconds=59.6), "1 minute"),
        (timedelta(seconds=89), "1 minute"),
        (timedelta(seconds=119), "2 minutes"),
        (timedelta(minutes=59, seconds=29), "59 minutes"),
        (timedelta(minutes=59, seconds=40), "1 hour"),
        (timedelta(hours=23, minutes=29), "23 hours"),
        (timedelta(hours=23, minutes=59, seconds=59), "1 day"),
        (timedelta(days=1, hours=11), "1 day"),
        (timedelta(days=29, hours=23, minutes=59), "30 days"),
        (timedelta(days=30), "30 days"),
    ],
)
def test_a_span_of_time_in_words(time: timedelta, words: str) -> None:
    assert in_words(time) == words


@pytest.mark.parametrize(
    ("ahead", "words"),
    [
        (timedelta(seconds=1), "just now"),
        (timedelta(seconds=-1), "just now"),
        (timedelta(minutes=-3, seconds=-20), "3 minutes ago"),
        (timedelta(hours=5, minutes=20), "in 5 hours"),
        (timedelta(days=1, seconds=-1), "in 1 day"),
    ],
)
def test_a_moment_in_words(ahead: timedelta, words: str) -> None:
    assert from_now(datetime.now(UTC) + ahead) == words


@pytest.mark.parametrize(
    ("user_agent", "words"),
    [
        (
            "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
            "Firefox on Linux",
        ),
        (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {CHROME} Safari/537.36", "Chrome on Windows"),
        (f"Mozilla/5.0 (Windows NT 10.0) {CHROME} Safari/537.36 Edg/126.0", "Edge on Windows"),
        (f"Mozilla/5.0 (X11; Linux x86_64) {CHROME} Safari/537.36 OPR/112.0", "Opera on Linux"),
        (f"Mozilla/5.0 (X11; CrOS x86_64 1) {CHROME} Safari/537.36", "Chrome on ChromeOS"),
        (f"Mozilla/5.0 (Linux; Android 14) {CHROME} Mobile Safari/537.36", "Chrome on Android"),
        (
            f"Mozilla/5.0 (Linux; Android 14) SamsungBrowser/25.0 {CHROME} Safari/537.36",
            "Samsung Internet on Android",
        ),
        (
            f"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) {APPLE} Safari/604.1",
            "Safari on an iPhone",
        ),
        (f"Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X) {APPLE} FxiOS/128", "Firefox on an iPad"),
        (f"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5) {APPLE} CriOS/126", "Chrome on an iPhone"),
        (f"Mozilla/5.0 (Macintosh; Intel Mac OS X 14_5) {APPLE} Safari/605.1", "Safari on a Mac"),
        ("curl/8.5.0", "curl"),
        ("Something on Linux", "A browser on Linux"),
        ("", "A browser"),
        ("\x00🦉" * 1000, "A browser"),
    ],
)
def test_a_device_in_words(user_agent: str, words: str) -> None:
    assert device_in_words(user_agent) == words
