"""What network libraries log and say, without what must not be shown.

At DEBUG, httpcore logs the headers of answers, in which signed addresses come, and the words of a server that
does not speak HTTP; hpack (HTTP/2) logs all headers, the credential included.
"""

import logging
import re

_QUOTED = re.compile(r"[:'\"\n].*", re.DOTALL)
_CAME = re.compile(r"( return_value=| exception=\w+).*", re.DOTALL)


def keep_secrets_out_of_logs() -> None:
    """Filter the loggers of httpcore and hpack; to do so again changes nothing."""
    for name in ("httpcore.http11", "httpcore.http2"):
        logging.getLogger(name).addFilter(_without_what_came)
    for name in ("hpack.hpack", "hpack.table"):
        logging.getLogger(name).addFilter(_above_debug)


def _without_what_came(record: logging.LogRecord) -> bool:
    record.msg = _CAME.sub(r"\1...", str(record.msg))
    return True


def _above_debug(record: logging.LogRecord) -> bool:
    return record.levelno > logging.DEBUG


def without_quotes(text: str) -> str:
    """Cut off what the server said, which follows a colon or stands in quotes; it may be what it was sent.

    Such as `illegal status line: bytearray(b'Authorization: ...')`.
    """
    return _QUOTED.sub("", text).strip()


def without_words_of_the_server(error: BaseException) -> str:
    """Give what is wrong; take out of the error and its causes what the server said."""
    what = without_quotes(str(error))
    cause: BaseException | None = error
    while cause is not None:
        cause.args = (what,)
        cause = cause.__cause__ or cause.__context__
    return what
