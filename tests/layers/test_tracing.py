"""`Tracing`: a span for each call, with its attempts and queues, metrics, and nothing secret."""

from collections.abc import Iterable
from typing import Any

import anyio
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, get_current_span

from planet_async import ApiKey, Config, NotFound, Planet, Window
from planet_async.errors import ConnectionLost
from planet_async.http import Request, Response
from planet_async.layers.tracing import Tracing
from planet_async.simulator import OrderPlan, Simulator
from planet_async.testing import Answer, FakeClock, FakeTransport, reply

pytestmark = pytest.mark.anyio

KEY = "PLAKexample0123456789secret"
ORDER = {
    "name": "field 7",
    "products": [
        {"item_ids": ["20221221_084022_18_2414"], "item_type": "PSScene", "product_bundle": "analytic_udm2"}
    ],
}


class Recorded:
    """Spans and metrics in memory."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        spans = TracerProvider()
        spans.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.reader = InMemoryMetricReader()
        self.meters = MeterProvider([self.reader])
        self.tracing = Tracing(spans, self.meters)

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self.exporter.get_finished_spans()

    def metrics(self) -> dict[str, Any]:
        """Return the data points of each metric."""
        data = self.reader.get_metrics_data()
        found = [] if data is None else data.resource_metrics[0].scope_metrics[0].metrics
        return {metric.name: [*metric.data.data_points] for metric in found}

    def text(self) -> str:
        """Return all that was recorded."""
        return "".join(span.to_json() for span in self.spans) + str(self.metrics())


def traced(answers: Iterable[Answer], recorded: Recorded, **config: Any) -> Planet:
    settings = {"rates": {}, **config}
    return Planet(
        Config(**settings),
        credentials=ApiKey(KEY),
        transport=FakeTransport(answers),
        clock=FakeClock(),
        layers=[recorded.tracing],
    )


def events(span: ReadableSpan) -> list[tuple[str, dict[str, Any]]]:
    return [(event.name.removeprefix("planet_async."), dict(event.attributes or {})) for event in span.events]


async def test_a_call_is_a_span_by_the_conventions() -> None:
    """CLIENT, named by its operation, with the stable attributes; no query, header or body in any of them."""
    recorded = Recorded()
    async with traced([reply(200, json={"secret": "in-the-body"})], recorded) as planet:
        await planet.request("GET", "/compute/ops/orders/v2", params={"token": "in-the-query"})
    (span,) = recorded.spans
    assert (span.name, span.kind, span.status.status_code) == (
        "orders.request",
        SpanKind.CLIENT,
        StatusCode.UNSET,
    )
    assert dict(span.attributes or {}) == {
        "planet_async.operation": "orders.request",
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "server.address": "api.planet.com",
        "server.port": 443,
        "url.full": "https://api.planet.com/compute/ops/orders/v2",
    }
    assert not [word for word in ("in-the", KEY, "token") if word in recorded.text()]


async def test_attempts_pauses_and_queues_are_events() -> None:
    """A call that is throttled, fails and succeeds is one span that says so, and counts in the metrics."""
    recorded = Recorded()
    throttled = reply(429, headers={"Retry-After": "7"})
    answers: list[Answer] = [throttled, ConnectionLost("broke off"), reply(200, body="12345")]
    rates = {"orders": (Window(1, 1.0),)}
    async with traced(answers, recorded, rates=rates) as planet:
        await planet.request("GET", "/compute/ops/orders/v2")
    (span,) = recorded.spans
    found = events(span)
    assert [name for name, _ in found if name != "queued"] == [
        "attempt",
        "retry",
        "attempt",
        "retry",
        "attempt",
    ]
    first, second, third = (attributes for name, attributes in found if name == "attempt")
    assert (first["planet_async.attempt"], first["http.response.status_code"]) == (1, 429)
    assert second["error.type"] == "planet_async.errors.ConnectionLost"
    assert (third["planet_async.attempt"], third["http.response.status_code"]) == (3, 200)
    assert next(each["planet_async.pause"] for name, each in found if name == "retry") >= 7
    assert (span.attributes or {})["http.request.resend_count"] == 2
    assert span.status.status_code is StatusCode.UNSET
    metrics = recorded.metrics()
    totals = {
        name: sum(point.value for point in points)
        for name, points in metrics.items()
        if "duration" not in name
    }
    assert totals == {
        "planet_async.requests": 3,
        "planet_async.retries": 2,
        "planet_async.throttled": 1,
        "planet_async.received": 5,
    }
    assert sum(point.count for point in metrics["planet_async.call.duration"]) == 1
    queued = metrics["planet_async.queue.duration"]
    assert {point.attributes["planet_async.queue"] for point in queued} == {"rate"}
    assert sum(point.sum for point in queued) > 0


@pytest.mark.parametrize(
    ("answer", "error", "type_", "description"),
    [
        (reply(404, body="no such order"), NotFound, "404", None),
        (ConnectionLost("broke off"), ConnectionLost, "planet_async.errors.ConnectionLost", "broke off"),
    ],
)
async def test_an_error_is_the_status_of_the_span(
    answer: Answer, error: type[Exception], type_: str, description: str | None
) -> None:
    """`error.type` is the HTTP status, or the class of an error without one."""
    recorded = Recorded()
    async with traced([answer], recorded, max_attempts=1) as planet:
        with pytest.raises(error):
            await planet.request("GET", "/x")
    (span,) = recorded.spans
    assert (span.attributes or {})["error.type"] == type_
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, description)


async def test_a_cancelled_call_ends_its_span() -> None:
    """Cancellation by the caller is noted, and is no error of the service."""
    recorded = Recorded()

    class Silent(FakeTransport):
        async def send(self, request: Request) -> Response:
            await anyio.sleep_forever()
            raise AssertionError(request)

    planet = Planet(credentials=ApiKey(KEY), transport=Silent([]), layers=[recorded.tracing])
    async with planet, anyio.create_task_group() as group:
        group.start_soon(planet.request, "GET", "/x")
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    (span,) = recorded.spans
    assert (span.attributes or {})["error.type"] == "cancelled"
    assert span.status.status_code is StatusCode.UNSET


async def test_a_whole_job_is_traced(tmp_path: Any) -> None:
    """Views trace too, a download lasts until its last byte, and nothing is left open or nested wrongly."""
    recorded, clock = Recorded(), FakeClock()
    simulator = Simulator(clock=clock, plan=OrderPlan(queue_seconds=1, run_seconds=1))
    planet = Planet(credentials=ApiKey(KEY), transport=simulator, clock=clock, layers=[recorded.tracing])
    async with planet:
        order = await planet.with_options(deadline=60).orders.create(ORDER)
        await planet.orders.wait(order.id)
        paths = await planet.orders.download(order.id, to=tmp_path)
    assert simulator.open_responses == 0
    assert not get_current_span().is_recording()
    assert {span.name for span in recorded.spans} >= {"orders.create", "orders.get", "orders.download"}
    assert all(span.parent is None for span in recorded.spans)
    received = {
        str(point.attributes["planet_async.operation"]): point.value
        for point in recorded.metrics()["planet_async.received"]
    }
    assert received["orders.download"] >= sum(path.stat().st_size for path in paths)
    assert "?" not in "".join(str((span.attributes or {})["url.full"]) for span in recorded.spans)
    assert KEY not in recorded.text()


async def test_a_body_that_is_not_read_to_its_end_ends_the_span() -> None:
    """The span of a stream ends when it is closed, and with an error where it breaks off."""
    recorded = Recorded()
    network = FakeTransport([reply(chunks=[b"abc", b"def"]), reply(chunks=[b"abc"])])
    layer = recorded.tracing(network)
    response = await layer.send(Request("GET", "https://storage.example/file?sig=x", stream=True))
    assert await anext(response.chunks()) == b"abc"
    assert recorded.spans == ()
    await response.aclose()
    await response.aclose()
    assert len(recorded.spans) == 1
    assert recorded.metrics()["planet_async.received"][0].value == 3
    await layer.aclose()
    assert network.closed
