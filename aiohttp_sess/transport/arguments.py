"""What `setup` is told of transports, checked; and the transports that come of it."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import hdrs

from ..config import CookieConfig
from ..header_config import HeaderConfig
from ..secret import SecretKey
from .cookie import CookieTransport
from .header import HeaderTransport
from .interface import Transport
from .several import Transports

__all__ = ("check_directives", "make_transports", "transport_configs")

_DIRECTIVES = ("cache", "cookies", "storage", "executionContexts", "*")


def transport_configs(
    cookie: CookieConfig | None,
    header: HeaderConfig | None,
    transports: Sequence[CookieConfig | HeaderConfig] | None,
) -> Sequence[CookieConfig | HeaderConfig]:
    """The transports that there are to be, in their order.

    :raises ValueError: for ``transports`` that are empty, too many, or not all that is given.
    :raises TypeError: for an argument of the wrong type.
    """
    if cookie is not None and not isinstance(cookie, CookieConfig):
        raise TypeError(f"cookie must be a CookieConfig, not {type(cookie).__name__}")
    if header is not None and not isinstance(header, HeaderConfig):
        raise TypeError(f"header must be a HeaderConfig, not {type(header).__name__}")
    if transports is None:
        cookie = cookie or CookieConfig()
        return [cookie] if header is None else [header, cookie]
    if cookie is not None or header is not None:
        raise ValueError("transports= says it all: pass it, or else cookie= and header=")
    if not isinstance(transports, list | tuple) or not all(
        isinstance(config, CookieConfig | HeaderConfig) for config in transports
    ):
        raise TypeError("transports must be a list of CookieConfig and HeaderConfig")
    if not transports:
        raise ValueError("transports is an empty list: a session key needs a way to travel")
    if sum(isinstance(config, CookieConfig) for config in transports) > 1:
        raise ValueError("transports has two cookies: a session has one at most")
    headers = [each.name.lower() for each in transports if isinstance(each, HeaderConfig)]
    if len(set(headers)) < len(headers):
        raise ValueError("transports has a header twice: give each another name")
    return transports


def make_transports(
    configs: Sequence[CookieConfig | HeaderConfig],
    keys: Sequence[SecretKey],
    site_data: Sequence[str],
) -> Transports:
    """The transports of one kind of session.

    :param configs: as from `transport_configs`.
    :param keys: secret keys, newest first.
    :param site_data: as from `check_directives`.
    :raises ValueError: for a seal without a key.
    """
    if not keys and any(config.content_security is not None for config in configs):
        raise ValueError("content_security asks for a seal: pass a secret_key")
    # All of them: that a header is not there is something that the response depends on, too.
    vary = [each.name if isinstance(each, HeaderConfig) else hdrs.COOKIE for each in configs]
    made: list[Transport] = []
    for config in configs:
        if isinstance(config, CookieConfig):
            made.append(CookieTransport(config, keys, vary=vary, site_data=site_data))
        else:
            made.append(HeaderTransport(config, keys, vary=vary, site_data=site_data))
    return Transports(made)


def check_directives(directives: Sequence[str]) -> tuple[str, ...]:
    """Directives of ``Clear-Site-Data`` (W3C Clear Site Data §3.1), each once.

    :raises ValueError: for one that is none.
    :raises TypeError: for what is no list of them.
    """
    if not isinstance(directives, list | tuple):
        raise TypeError(
            "clear_site_data must be a list or tuple, say ('cache', 'storage'), not "
            + type(directives).__name__
        )
    for directive in directives:
        if directive not in _DIRECTIVES:
            raise ValueError(
                f"clear_site_data has {directive!r}, but there is only "
                + ", ".join(map(repr, _DIRECTIVES))
            )
    return tuple(dict.fromkeys(directives))
