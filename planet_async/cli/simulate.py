"""`simulate`: a Planet in memory, served on this machine."""

import signal
from contextlib import aclosing
from typing import Annotated

import anyio
import typer
from attrs import frozen

from planet_async import InvalidRequest, PlanetError, Request, Response, Transport
from planet_async.cli.output import Json, print_json, stdout, wants_json
from planet_async.cli.runner import reporting
from planet_async.http import origin
from planet_async.simulator import Limits, OrderPlan, Simulator

_HERE = frozenset({"127.0.0.1", "localhost", "::1"})


def simulate(
    *,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port of the API; 0 takes a free one.")
    ] = 8080,
    storage_port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port of the storage that files come from.")
    ] = 8081,
    unlimited: Annotated[bool, typer.Option("--unlimited", help="Lift the documented rate limits.")] = False,
    queue_seconds: Annotated[float, typer.Option(min=0, help="How long orders are queued.")] = 5.0,
    run_seconds: Annotated[float, typer.Option(min=0, help="How long orders run.")] = 30.0,
    json: Json = False,
) -> None:
    """Serve a simulated Planet until Ctrl-C; it takes any API key, and nothing reaches the real one.

    Webhooks that are on this machine are called.

    [dim]planet-async simulate --unlimited --run-seconds 3[/]
    """
    simulator = Simulator(
        limits=Limits.unlimited() if unlimited else Limits(),
        plan=OrderPlan(queue_seconds=queue_seconds, run_seconds=run_seconds),
    )

    async def serve() -> None:
        require_server()
        from planet_async.simulator.server import serving  # noqa: PLC0415 - needs the extra
        from planet_async.transports.httpx import HttpxTransport  # noqa: PLC0415 - takes a moment to load

        # Listened to itself, and not made a Ctrl-C of: a job in the background of a script ignores those.
        with anyio.open_signal_receiver(signal.SIGTERM) as terminations:
            async with (
                serving(simulator, host=host, port=port, storage_port=storage_port) as url,
                aclosing(HttpxTransport()) as network,
                anyio.create_task_group() as tasks,
            ):
                tasks.start_soon(simulator.post_notifications, _OnThisMachine(network))
                tell(url)
                await anext(terminations)
                tasks.cancel_scope.cancel()

    def tell(url: str) -> None:
        if wants_json(json):
            print_json({"base_url": url, "storage_url": simulator.storage_url})
        else:
            stdout().print(
                f"A simulated Planet is at [bold]{url}[/]. In another terminal:\n\n"
                f"    export PL_BASE_URL={url}\n    export PL_API_KEY=any\n"
                "    planet-async orders list\n\n"
                "Ctrl-C ends it, and forgets its orders.",
                highlight=False,
                soft_wrap=True,
            )

    with reporting():
        try:
            anyio.run(serve)
        except KeyboardInterrupt:
            return


@frozen
class _OnThisMachine:
    """A network that ends here: what a request is tried out with may name the webhook of the real thing."""

    _inner: Transport

    async def send(self, request: Request) -> Response:
        """Send, unless it leads elsewhere."""
        if origin(request.url)[1] not in _HERE:
            raise InvalidRequest("not on this machine, and not called", request=request)
        return await self._inner.send(request)

    async def aclose(self) -> None:
        """Close nothing."""


def require_server() -> None:
    """Raise a PlanetError that says how to install the extra, where it is missing."""
    try:
        import httptools  # noqa: F401, PLC0415 - to see whether it is there
        import uvicorn  # noqa: F401, PLC0415 - the same
    except ModuleNotFoundError:
        raise PlanetError(
            "the simulated Planet needs its extra",
            hint='Install it: python -m pip install "planet-async[cli,simulator]"',
        ) from None
