"""The command `planet-async` (extra ``cli``): the APIs from a terminal, and a Planet to try it on."""

import sys
from collections.abc import Sequence

_INSTALL = 'planet-async: the command needs its extra: python -m pip install "planet-async[cli]"\n'
_INTERRUPTED = 130  # as shells have it: 128 and the number of SIGINT


def main(args: Sequence[str] | None = None) -> None:
    """Run the command with these arguments, or with those of the process; ends in SystemExit."""
    try:
        _main(args)
    except KeyboardInterrupt:  # while it is being loaded, which takes a moment
        sys.stderr.write("planet-async: interrupted\n")
        sys.exit(_INTERRUPTED)


def _main(args: Sequence[str] | None) -> None:
    try:
        from planet_async.cli.app import start  # noqa: PLC0415 - Typer and Rich may not be there
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"typer", "rich"}:
            raise
        sys.stderr.write(_INSTALL)
        sys.exit(1)
    start(args)
