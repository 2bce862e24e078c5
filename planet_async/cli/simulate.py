"""The command `planet-async simulate`: a Planet in memory, served on this machine."""

import socket
import sys
from base64 import b64encode
from collections.abc import Callable, Collection, Mapping
from contextlib import aclosing, suppress
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any

import typer
from attrs import frozen

from planet_async import InvalidRequest, PlanetError, Request, Response, Transport
from planet_async.cli.options import option
from planet_async.cli.output import TABLE, Format, clean, print_json_line, stdout
from planet_async.cli.process import reporting, run_async
from planet_async.http import origin

if TYPE_CHECKING:  # other commands start without the simulator
    from planet_async.simulator import Fault, OrderPlan
    from planet_async.simulator.page import Served

_HERE = frozenset({"127.0.0.1", "localhost", "::1"})
_FAULT_HELP = (
    "What goes wrong, with commas between: status=503, drop, hang, refused, cut=BYTES or delay=SECONDS; "
    "and for which requests: operation=, method=, path=, times=, probability=. Repeatable."
)


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
    orders: Annotated[
        int, typer.Option(min=0, max=10_000, metavar="N", help="Orders of all states that are there already.")
    ] = 0,
    faults: Annotated[list[str] | None, option("FAULT", _FAULT_HELP, "--fault")] = None,
    seed: Annotated[
        int, typer.Option(metavar="N", help="The same number makes the same ids and the same faults.")
    ] = 0,
    form: Format = TABLE,
) -> None:
    """Serve a simulated Planet until Ctrl-C, and a page about it; nothing reaches the real one.

    It accepts any API key but `refused`, logs each request on standard error, and calls webhooks that are on
    this machine.

    [dim]planet-async simulate --unlimited --run-seconds 3 --orders 200[/]

    [dim]planet-async simulate --fault operation=orders.get,status=503,times=2 --fault drop,probability=0.1[/]
    """
    from planet_async.simulator import Limits, OrderPlan  # noqa: PLC0415 - other commands go without
    from planet_async.simulator.page import WatchedSimulator  # noqa: PLC0415 - the same

    normal = OrderPlan(queue_seconds=queue_seconds, run_seconds=run_seconds)
    simulator = WatchedSimulator(
        on_served=_log,
        limits=Limits.unlimited() if unlimited else Limits(),
        plan=lambda _, number: _past_plan(orders - number, orders) if number < orders else normal,
        seed=seed,
    )
    simulator.faults.add(_refused_key())
    for text in faults or ():
        simulator.faults.add(_fault(text, simulator.operations))
    simulator.add_past_orders([_request(number) for number in range(orders)], _SECONDS_APART)

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
                f"A simulated Planet is at [bold]{url}[/], which also shows its orders in a browser. "
                "In another terminal:\n\n"
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


def _log(served: "Served") -> None:
    with suppress(OSError):  # the terminal may be gone
        sys.stderr.write(
            f"{served.time.astimezone():%H:%M:%S} {served.status:>7} {served.seconds * 1000:6.0f} ms "
            f"{served.operation:<20} {served.method} {clean(served.path)}\n"
        )


# --- Orders that are there already


_SECONDS_APART = 600.0


def _request(number: int) -> dict[str, object]:
    product = {
        "item_ids": ["20221221_084022_18_2414"],
        "item_type": "PSScene",
        "product_bundle": "analytic_udm2",
    }
    return {"name": f"field {number + 1}", "products": [product]}


def _past_plan(place: int, orders: int) -> "OrderPlan":
    """Plan an order by its place from the newest: a tenth is queued, a tenth runs, a few have failed."""
    from planet_async.simulator import OrderPlan  # noqa: PLC0415 - see above

    share, until = place / orders, place * (_SECONDS_APART + 20)
    if share <= 0.1:  # noqa: PLR2004 - a tenth
        return OrderPlan(queue_seconds=until)
    if share <= 0.2:  # noqa: PLR2004 - two
        return OrderPlan(run_seconds=until)
    if place % 10 == 0:
        return OrderPlan(state="failed", error_hints=["no clear pixel in the area"])
    return OrderPlan(state="partial" if place % 10 == 1 else "success")


# --- Faults


_FAULT_FIELDS: Mapping[str, Callable[[str], object]] = {
    "operation": str,
    "method": str.upper,
    "path": str,
    "times": int,
    "probability": float,
    "delay": float,
    "status": int,
    "cut": int,
    "bytes_per_second": float,
    "acts_after": float,
}
_FAULT_FLAGS = ("drop", "hang", "refused", "after")


def _fault(text: str, operations: Collection[str]) -> "Fault":
    """Return the fault of `--fault`, or end the command."""
    from planet_async.simulator import Fault  # noqa: PLC0415 - see above

    values: dict[str, Any] = {}
    try:
        for part in text.split(","):
            name, equals, value = part.strip().partition("=")
            if name in _FAULT_FLAGS and not equals:
                values[name] = True
            else:
                values[name] = _FAULT_FIELDS[name](value)
        fault = Fault(**values)
    except (KeyError, ValueError):
        raise typer.BadParameter(
            f"--fault: expected such as operation=orders.get,status=503,times=2, not {text!r}"
        ) from None
    if fault.operation is not None and fault.operation not in operations:
        near = get_close_matches(fault.operation, operations) or sorted(operations)
        raise typer.BadParameter(f"--fault: there is no operation {fault.operation!r}, but {', '.join(near)}")
    return fault


def _refused_key() -> "Fault":
    """Return the fault by which the key `refused` is."""
    from planet_async.simulator import Fault, ServerRequest  # noqa: PLC0415 - see above

    refused = {"api-key refused", "bearer refused", f"basic {b64encode(b'refused:').decode()}".lower()}

    def has_it(request: ServerRequest) -> bool:
        return request.headers.get("authorization", "").lower() in refused

    return Fault(
        when=has_it, status=401, body=b'{"message": "Please enter your API key, or email and password."}'
    )


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
