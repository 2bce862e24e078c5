"""`simulate`: a Planet in memory, served on this machine."""

import signal
from typing import Annotated

import anyio
import typer

from planet_async import PlanetError
from planet_async.cli.output import Json, print_json, stdout, wants_json
from planet_async.cli.run import reporting
from planet_async.simulator import Limits, OrderPlan, Simulator


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

    [dim]planet-async simulate --unlimited --run-seconds 3[/]
    """
    simulator = Simulator(
        limits=Limits.unlimited() if unlimited else Limits(),
        plan=OrderPlan(queue_seconds=queue_seconds, run_seconds=run_seconds),
    )

    async def serve() -> None:
        require_server()
        from planet_async.simulator.server import serving  # noqa: PLC0415 - needs the extra

        # Listened to itself, and not made a Ctrl-C of: a job in the background of a script ignores those.
        with anyio.open_signal_receiver(signal.SIGTERM) as terminations:
            async with serving(simulator, host=host, port=port, storage_port=storage_port) as url:
                tell(url)
                await anext(terminations)

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


def require_server() -> None:
    """Raise a PlanetError that says how to install the extra, where it is missing."""
    try:
        import httptools  # noqa: F401, PLC0415 - to see whether it is there
        import uvicorn  # noqa: F401, PLC0415 - the same
    except ModuleNotFoundError:
        raise PlanetError(
            "the simulated Planet needs its extra:",
            hint='python -m pip install "planet-async[cli,simulator]"',
        ) from None
