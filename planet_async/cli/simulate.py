"""The command `planet-async simulate`: a Planet in memory, served on this machine."""

import socket
from contextlib import aclosing
from typing import Annotated

import typer
from attrs import frozen

from planet_async import InvalidRequest, PlanetError, Request, Response, Transport
from planet_async.cli.options import option
from planet_async.cli.output import TABLE, Format, print_json_line, stdout
from planet_async.cli.process import reporting, run_async
from planet_async.http import origin

_HERE = frozenset({"127.0.0.1", "localhost", "::1"})


def simulate(
    *,
    host: Annotated[str, option("HOST", "The address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="PORT", help="The port of the API; 0 picks a free one.")
    ] = 8080,
    storage_port: Annotated[
        int,
        typer.Option(min=0, max=65535, metavar="PORT", help="The port of the storage that files come from."),
    ] = 8081,
    unlimited: Annotated[bool, typer.Option("--unlimited", help="Lift the documented rate limits.")] = False,
    queue_seconds: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="How long orders are queued.")
    ] = 5.0,
    run_seconds: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="How long orders run.")] = 30.0,
    form: Format = TABLE,
) -> None:
    """Serve a simulated Planet until Ctrl-C; it accepts any API key, and nothing reaches the real one.

    It calls webhooks that are on this machine.

    [dim]planet-async simulate --unlimited --run-seconds 3[/]
    """
    from planet_async.simulator import Limits, OrderPlan, Simulator  # noqa: PLC0415 - other commands go without

    simulator = Simulator(
        limits=Limits.unlimited() if unlimited else Limits(),
        plan=OrderPlan(queue_seconds=queue_seconds, run_seconds=run_seconds),
    )

    async def serve() -> bool:
        require_server()
        for number, name in ((port, "--port"), (storage_port, "--storage-port")):
            _require_free(host, number, name)
        from planet_async.simulator.server import serving  # noqa: PLC0415 - needs the extra
        from planet_async.transports.httpx import HttpxTransport  # noqa: PLC0415 - takes a moment to load

        async with (
            serving(simulator, host=host, port=port, storage_port=storage_port) as url,
            aclosing(HttpxTransport()) as network,
        ):
            print_address(url)
            await simulator.post_notifications(_OnThisMachine(network))
        return True

    def print_address(url: str) -> None:
        if form != TABLE:
            print_json_line({"base_url": url, "storage_url": simulator.storage_url})
        else:
            stdout().print(
                f"A simulated Planet is at [bold]{url}[/]. In another terminal:\n\n"
                f"    export PL_BASE_URL={url}\n    export PL_API_KEY=any\n"
                "    planet-async orders list\n\n"
                "Ctrl-C ends it, and its orders are gone.",
                highlight=False,
                soft_wrap=True,
            )

    with reporting():
        try:
            run_async(serve)
        except KeyboardInterrupt:  # the normal end, as are SIGTERM and SIGHUP
            return


def _require_free(host: str, port: int, option: str) -> None:
    """Raise a PlanetError that names the option, where a port cannot be listened on."""
    try:
        socket.create_server((host, port)).close()
    except OSError as error:
        raise PlanetError(
            f"cannot listen on {host}:{port}: {error.strerror}", hint=f"Choose another {option}."
        ) from None


@frozen
class _OnThisMachine:
    """A network that ends here: a request that is tried out may name the webhook of the real service."""

    _inner: Transport

    async def send(self, request: Request) -> Response:
        """Send, unless the address is another machine's."""
        if origin(request.url)[1] not in _HERE:
            raise InvalidRequest("not on this machine, and not called", request=request)
        return await self._inner.send(request)

    async def aclose(self) -> None:
        """Close nothing."""


def require_server() -> None:
    """Raise a PlanetError that says how to install the extra, where it is missing."""
    try:
        import httptools  # noqa: F401, PLC0415 - to see whether it is installed
        import uvicorn  # noqa: F401, PLC0415 - the same
    except ModuleNotFoundError:
        raise PlanetError(
            "the simulated Planet needs its extra",
            hint='Install it: python -m pip install "planet-async[cli,simulator]"',
        ) from None
