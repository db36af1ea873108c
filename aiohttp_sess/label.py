"""What a session is called where the sessions of its owner are listed."""

from __future__ import annotations

__all__ = ("check_label",)

_LONGEST_LABEL = 100  # characters


def check_label(label: object) -> None:
    """:raises TypeError: for what is no str.
    :raises ValueError: for a label that is too long, or that JSON cannot carry.
    """
    if not isinstance(label, str):
        raise TypeError(f"session.label must be a str or None, not {type(label).__name__}")
    if len(label) > _LONGEST_LABEL:
        raise ValueError(
            f"session.label has {len(label)} characters of at most {_LONGEST_LABEL}: cut it off"
        )
    try:
        label.encode()
    except UnicodeEncodeError:
        raise ValueError("session.label holds half a surrogate pair") from None
