"""Moments, spans of time and browsers in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_JUST_NOW = timedelta(seconds=5)

# What a User-Agent has in it, and what that means. The first that fits counts: browsers pretend to
# be others, and systems name those that they come from.
_BROWSERS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("CriOS/", "Chrome"),
    ("Safari/", "Safari"),
    ("curl/", "curl"),
)
_SYSTEMS = (
    ("iPhone", "an iPhone"),
    ("iPad", "an iPad"),
    ("Android", "Android"),
    ("CrOS", "ChromeOS"),
    ("Windows", "Windows"),
    ("Macintosh", "a Mac"),
    ("Linux", "Linux"),
)


def device_in_words(user_agent: str) -> str:
    """A browser and its system, such as "Firefox on Linux", as far as they say who they are."""
    browser = _first(_BROWSERS, user_agent) or "A browser"
    system = _first(_SYSTEMS, user_agent)
    return f"{browser} on {system}" if system else browser


def _first(known: tuple[tuple[str, str], ...], text: str) -> str | None:
    return next((name for sign, name in known if sign in text), None)


def from_now(moment: datetime) -> str:
    """How long ago that was, or when it will be."""
    ahead = moment - datetime.now(UTC)
    if abs(ahead) < _JUST_NOW:
        return "just now"
    return f"in {in_words(ahead)}" if ahead > timedelta(0) else f"{in_words(-ahead)} ago"


def in_words(time: timedelta) -> str:
    """A span of time in its largest unit, rounded; "1 day" from where it would be 24 hours."""
    seconds = max(time.total_seconds(), 0)
    for unit, length, below in (("day", 86400, 3600), ("hour", 3600, 60), ("minute", 60, 1)):
        if round(seconds / below) * below >= length:
            return counted(round(seconds / length), unit)
    return counted(round(seconds), "second")


def counted(count: int, thing: str) -> str:
    """How many of a thing, such as "1 day" and "2 days"."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"
