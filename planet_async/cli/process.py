"""How a command ends: errors become a line each, results and signals an exit code.

0: all went well. 1: something failed. 2: the input or a setting is wrong, and nothing was sent. 130, 143 and
129: ended by Ctrl-C, SIGTERM and SIGHUP.
"""

import errno
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress

import anyio
import typer

from planet_async import InvalidRequest, LedgerUnusable, PlanetError, SharedStateError, SharedStateLost
from planet_async.cli.output import print_error

FAILED, WRONG_INPUT = 1, 2


class Interrupted(KeyboardInterrupt):
    """The command was ended by a signal."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def run_async(work: Callable[[], Awaitable[bool]]) -> bool:
    """Run the work in an event loop; SIGTERM and SIGHUP cancel it, as Ctrl-C does, and raise Interrupted."""
    received: list[int] = []

    async def end_on_signal(scope: anyio.CancelScope, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        numbers = (signal.SIGTERM, signal.SIGHUP) if sys.platform != "win32" else ()
        # What is ignored stays ignored, such as SIGHUP below `nohup`.
        heard = [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]
        with anyio.open_signal_receiver(*heard) as signals:
            task_status.started()
            async for number in signals:
                received.append(number)
                scope.cancel()

    async def do() -> bool:
        result = False
        async with anyio.create_task_group() as tasks:
            await tasks.start(end_on_signal, tasks.cancel_scope)
            result = await work()
            tasks.cancel_scope.cancel()
        return result

    try:
        return anyio.run(do)
    finally:
        if received:
            raise Interrupted(received[0])


@contextmanager
def reporting() -> Iterator[None]:
    """End the command with a line for each error that a user can cause, and with its exit code."""
    failures: list[Exception] = []
    try:
        try:
            yield
        except* (PlanetError, OSError) as group:
            failures.extend(_leaves(group))
    except KeyboardInterrupt as interrupt:
        number = interrupt.number if isinstance(interrupt, Interrupted) else signal.SIGINT
        print_error("interrupted" if number == signal.SIGINT else "terminated")
        raise typer.Exit(128 + number) from None
    for failure in failures:
        if isinstance(failure, OSError) and failure.errno == errno.EPIPE:
            raise failure  # nobody reads any more: Typer ends without a word
        if isinstance(failure, OSError) and not isinstance(failure, PlanetError):
            _give_up_stdout()
        print_error(failure)
    if failures:
        raise typer.Exit(WRONG_INPUT if all(map(_is_wrong_input, failures)) else FAILED)


def _is_wrong_input(error: Exception) -> bool:
    if isinstance(error, SharedStateError):
        return not isinstance(error, SharedStateLost)
    return isinstance(error, InvalidRequest | LedgerUnusable)


def _leaves(group: BaseExceptionGroup[Exception]) -> Iterator[Exception]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _give_up_stdout() -> None:
    """Drop what could not be written: Python would try again as it ends, with a traceback."""
    with suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a device
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
