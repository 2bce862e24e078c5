"""Instrumentation that users know sees every request, once."""

from collections.abc import Iterator

import pytest
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from planet_async import ApiKey, Config, Planet
from planet_async.errors import ConnectionLost
from transports.on_loopback import HangUp, Received, Stream, planet, serving

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
