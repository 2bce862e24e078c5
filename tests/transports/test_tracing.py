"""Instrumentation that users know sees every request, once."""

from collections.abc import Iterator

import anyio
import pytest
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from planet_async import ApiKey, Config, Planet
from planet_async.errors import ConnectionLost
from planet_async.layers.tracing import Tracing
from transports.on_loopback import OK, HangUp, Received, Stream, planet, serving

pytestmark = pytest.mark.anyio


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrumentor = HTTPXClientInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    yield exporter
    instrumentor.uninstrument()


async def test_opentelemetry_has_a_span_for_each_request(spans: InMemorySpanExporter) -> None:
    """The default transport is HTTPX: `opentelemetry-instrumentation-httpx` records one CLIENT span each."""
    async with serving() as server:
        config = Config(base_url=server.url, rates={})
        async with Planet(config, credentials=ApiKey("any")) as client:
            for method in ("GET", "POST", "GET"):
                await client.request(method, "/x")
        assert len(server.requests) == 3
    found = spans.get_finished_spans()
    assert [span.kind for span in found] == [SpanKind.CLIENT] * 3
    assert [span.name for span in found] == ["GET", "POST", "GET"]
    # So a trace goes on in the service.
    assert all(request.header("traceparent") for request in server.requests)


async def test_each_attempt_has_a_span(spans: InMemorySpanExporter) -> None:
    """An attempt that fails is a span with an error."""

    async def hang_up(_: Received, __: Stream) -> None:
        raise HangUp

    async with serving(hang_up) as server:
        config = Config(base_url=server.url, rates={}, max_attempts=2, first_backoff=0.001)
        async with planet("httpx", config) as client:
            with pytest.raises(ConnectionLost):
                await client.request("GET", "/x")
        assert len(server.requests) == 2
    assert [span.status.status_code for span in spans.get_finished_spans()] == [StatusCode.ERROR] * 2


async def test_the_spans_of_requests_are_nested_in_those_of_calls(spans: InMemorySpanExporter) -> None:
    """`Tracing` has a span for the call, and the instrumentation of HTTPX one inside for each attempt."""
    responses = [b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n", OK]

    async def fail_once(_: Received, stream: Stream) -> None:
        await stream.send(responses.pop(0))

    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    async with serving(fail_once) as server:
        config = Config(base_url=server.url, rates={}, first_backoff=0.001)
        async with Planet(config, api_key="any", layers=[Tracing(provider)]) as client:
            await client.request("GET", "/x")
    *inner, outer = spans.get_finished_spans()
    assert outer.name == "x.request"
    assert outer.context is not None
    assert [span.parent and span.parent.span_id for span in inner] == [outer.context.span_id] * 2


async def test_waiting_for_a_connection_is_an_event(spans: InMemorySpanExporter) -> None:
    """Where all connections are in use, the span says how long its request was queued for one."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    async with serving() as server:
        config = Config(base_url=server.url, rates={}, max_connections=1)
        async with (
            Planet(config, api_key="any", layers=[Tracing(provider)]) as client,
            anyio.create_task_group() as group,
        ):
            for _ in range(2):
                group.start_soon(client.request, "GET", "/x")
    events = [event for span in spans.get_finished_spans() for event in span.events]
    (queued,) = (event for event in events if event.name == "planet_async.queued")
    assert dict(queued.attributes or {})["planet_async.queue"] == "connection"
