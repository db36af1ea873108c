"""How session keys travel: the only modules that touch headers.

`CookieTransport` is for browsers, `HeaderTransport` for clients without cookies; where a kind of
session has both, `Transports` says which of them a request uses.
"""

from .arguments import check_directives, make_transports, transport_configs
from .cookie import CookieTransport
from .header import HeaderTransport
from .interface import Transport
from .several import Transports, shown

__all__ = (
    "CookieTransport",
    "HeaderTransport",
    "Transport",
    "Transports",
    "check_directives",
    "make_transports",
    "shown",
    "transport_configs",
)
