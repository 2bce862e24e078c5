"""Keeps what must not be shown out of the logs of HTTP libraries, for requests of ours.

At INFO, HTTPX logs the URL, whose query can be a signature.  At DEBUG, httpcore logs the headers of
responses, in which signed URLs come, and the words of a server that does not speak HTTP; hpack (HTTP/2) logs
all headers, the credential included.
"""

import logging
import re
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

from planet_async.http import without_query

_DETAILS = re.compile(r"( return_value=| exception=\w+).*", re.DOTALL)
_is_ours: ContextVar[bool] = ContextVar("planet_async.is_ours", default=False)


@contextmanager
def ours() -> Generator[None]:
    """Mark what is logged in this block as being of a request of ours."""
    token = _is_ours.set(True)
    try:
        yield
    finally:
        _is_ours.reset(token)


def keep_secrets_out_of_logs() -> None:
    """Filter the loggers of HTTP libraries; to do so again changes nothing."""
    for name in ("httpx", "httpx2"):
        logging.getLogger(name).addFilter(_without_query)
    for core in ("httpcore", "httpcore2"):
        for part in ("http11", "http2", "proxy", "connection"):
            logging.getLogger(f"{core}.{part}").addFilter(_without_details)
    for name in ("hpack.hpack", "hpack.table"):
        logging.getLogger(name).addFilter(_above_debug)


def _without_query(record: logging.LogRecord) -> bool:
    """Take out the query of the URL, and the reason phrase, which is the server's own text."""
    if _is_ours.get() and isinstance(record.args, tuple):
        *args, _reason = record.args
        record.args = (
            *(without_query(str(each)) if type(each).__name__ == "URL" else each for each in args),
            "",
        )
    return True


def _without_details(record: logging.LogRecord) -> bool:
    record.msg = _DETAILS.sub(r"\1...", str(record.msg))
    return True


def _above_debug(record: logging.LogRecord) -> bool:
    return record.levelno > logging.DEBUG
