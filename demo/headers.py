"""What aiohttp may say of headers that it refuses: nothing that is in them.

It refuses a field that is too long, or no HTTP, before any middleware runs. Its response and its
log record then begin with the field, and a `Cookie` field begins with the session cookie. A script
can set cookies until their field is too long, and read the response to its own request.
"""

from __future__ import annotations

import logging

from aiohttp.http import HttpProcessingError

# Bytes of one field: more than a browser sends, which keeps 180 cookies of 4096 bytes for a site.
# Behind a proxy it need only be more than that lets pass in all. A client can make the server
# remember 128 fields of this size.
LONGEST_FIELD = 1024 * 1024


class WithoutHeaders(logging.Filter):
    """For the logger ``aiohttp.server``: of a request that cannot be read, only why."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError):
            record.msg = f"{record.msg}: {type(error).__name__}"
            record.exc_info = None
        return True
