"""`Tracing`: spans and metrics of OpenTelemetry; it comes with `pip install "planet-async[otel]"`."""

from collections.abc import AsyncIterator
from time import perf_counter

from attrs import frozen
from opentelemetry import metrics, trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from planet_async._events import Attempt, Event, Queued, RetryScheduled, observer
from planet_async._version import __version__
from planet_async.errors import PlanetError, StatusError
from planet_async.http import Request, Response, Transport, origin, without_query

_NAME = "planet_async"
# Upper bounds in seconds: those of the conventions for HTTP, and longer ones for queues and retries.
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60, 120, 300, 900)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_TOO_MANY_REQUESTS = 429

_Attributes = dict[str, str | int | float]


class Tracing:
    """Records a span for each call to the API, and metrics, with OpenTelemetry.

        planet = Planet(layers=[Tracing()])

    A span is of kind CLIENT and named by its operation, such as ``orders.create``.  It lasts until the
    response has been read, all attempts included; each attempt, each pause before another one, and the time
    in queues are its events.  Attributes are those of the stable conventions for HTTP, and
    ``planet_async.operation``; none holds a query, a header or a body.  The spans of an instrumented HTTP
    client (`opentelemetry-instrumentation-httpx`) are nested inside.

    A call is one logical request: a list is a call for each page, and waiting is a call for each poll.

    Metrics, with the same attributes but the URL:

    - ``planet_async.call.duration``: seconds of a call, with its queues and all its attempts.
    - ``planet_async.requests``: requests that were sent, which are the attempts of the calls.
    - ``planet_async.retries``: attempts after the first.
    - ``planet_async.throttled``: responses with status 429.
    - ``planet_async.queue.duration``: seconds in a queue; ``planet_async.queue`` is "rate" or "connection".
    - ``planet_async.received``: bytes of response bodies, decompressed where they are not files.

    See https://opentelemetry.io/docs/specs/semconv/http/

    Args:
        tracer_provider: What makes the spans; by default the provider that the application has set.
        meter_provider: What makes the metrics; by default the provider that the application has set.
    """

    def __init__(
        self,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
    ) -> None:
        self._tracer = trace.get_tracer(_NAME, __version__, tracer_provider)
        self._metrics = _metrics(metrics.get_meter(_NAME, __version__, meter_provider))

    def __call__(self, inner: Transport) -> Transport:
        """Return a transport that sends with `inner` and records it."""
        return _Traced(inner, self._tracer, self._metrics)


@frozen
class _Metrics:
    duration: metrics.Histogram
    queued: metrics.Histogram
    requests: metrics.Counter
    retries: metrics.Counter
    throttled: metrics.Counter
    received: metrics.Counter


def _metrics(meter: metrics.Meter) -> _Metrics:
    def histogram(name: str, description: str) -> metrics.Histogram:
        return meter.create_histogram(
            f"{_NAME}.{name}", "s", description, explicit_bucket_boundaries_advisory=_BUCKETS
        )

    def counter(name: str, unit: str, description: str) -> metrics.Counter:
        return meter.create_counter(f"{_NAME}.{name}", unit, description)

    return _Metrics(
        histogram("call.duration", "Duration of calls, with their queues and all their attempts."),
        histogram("queue.duration", "Time that requests were queued."),
        counter("requests", "{request}", "Requests that were sent."),
        counter("retries", "{request}", "Requests that were sent again."),
        counter("throttled", "{response}", "Responses with status 429."),
        counter("received", "By", "Bytes of response bodies."),
    )


class _Traced:
    """The layer of one client."""

    def __init__(self, inner: Transport, tracer: trace.Tracer, instruments: _Metrics) -> None:
        self._inner = inner
        self._tracer = tracer
        self._metrics = instruments

    async def send(self, request: Request) -> Response:
        attributes = _attributes(request)
        with self._tracer.start_as_current_span(
            request.operation,
            kind=SpanKind.CLIENT,
            attributes={**attributes, "url.full": without_query(request.url)},
            record_exception=False,  # what the server said is no part of a span
            set_status_on_exception=False,
            end_on_exit=False,
        ) as span:
            call = _Call(span, self._metrics, attributes)
            token = observer.set(call.note)
            try:
                response = await self._inner.send(request)
            except BaseException as error:
                call.end(error)
                raise
            finally:
                observer.reset(token)
        return call.measured(response)

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Call:
    """The records of one call."""

    def __init__(self, span: Span, instruments: _Metrics, attributes: _Attributes) -> None:
        self._span = span
        self._metrics = instruments
        self._attributes = attributes
        self._began = perf_counter()
        self._result: _Attributes = {}
        self._ended = False

    def note(self, event: Event) -> None:
        """Record an event of the call."""
        match event:
            case Attempt():
                self._note_attempt(event)
            case RetryScheduled():
                pause: _Attributes = {"planet_async.pause": event.pause, **_result_of(event.error)}
                self._span.add_event("planet_async.retry", pause)
            case Queued():
                queue: _Attributes = {"planet_async.queue": event.queue}
                self._span.add_event(
                    "planet_async.queued", {**queue, "planet_async.queue.duration": event.seconds}
                )
                self._metrics.queued.record(event.seconds, {**self._attributes, **queue})

    def _note_attempt(self, attempt: Attempt) -> None:
        result: _Attributes = {} if attempt.status is None else {"http.response.status_code": attempt.status}
        if attempt.error is not None:
            result = _result_of(attempt.error)
        number: _Attributes = {"planet_async.attempt": attempt.number}
        duration: _Attributes = {"planet_async.attempt.duration": attempt.seconds}
        self._span.add_event("planet_async.attempt", {**number, **duration, **result})
        attributes = {**self._attributes, **result}
        self._metrics.requests.add(1, attributes)
        if attempt.number > 1:
            self._metrics.retries.add(1, attributes)
            self._span.set_attribute("http.request.resend_count", attempt.number - 1)
        if attempt.status == _TOO_MANY_REQUESTS:
            self._metrics.throttled.add(1, attributes)

    def measured(self, response: Response) -> Response:
        """Return the response; the call ends with its body."""
        self._result = {"http.response.status_code": response.status}
        if response.content is not None:
            self.received(len(response.content))
            self.end()
            return response

        async def close() -> None:
            try:
                await response.aclose()
            finally:
                self.end()

        body = _Body(response.chunks(), self)
        found = Response(response.status, response.headers, body, url=response.url, close=close)
        found.secrets = response.secrets
        return found

    def received(self, count: int) -> None:
        """Record bytes of the response's body."""
        self._metrics.received.add(count, self._attributes)

    def end(self, error: BaseException | None = None) -> None:
        """End the span, with an error if there was one; the first call counts."""
        if self._ended:
            return
        self._ended = True
        if error is not None:
            self._result |= _result_of(error)
        if isinstance(error, Exception):
            self._span.set_status(Status(StatusCode.ERROR, _description(error)))
        self._span.set_attributes(self._result)
        self._span.end()
        self._metrics.duration.record(perf_counter() - self._began, {**self._attributes, **self._result})


class _Body(AsyncIterator[bytes]):
    """A streamed body, with which its call ends."""

    def __init__(self, chunks: AsyncIterator[bytes], call: _Call) -> None:
        self._chunks = chunks
        self._call = call

    async def __anext__(self) -> bytes:
        try:
            chunk = await anext(self._chunks)
        except StopAsyncIteration:
            self._call.end()
            raise
        except BaseException as error:
            self._call.end(error)
            raise
        self._call.received(len(chunk))
        return chunk


def _attributes(request: Request) -> _Attributes:
    method = request.method if request.method in _METHODS else "_OTHER"
    _scheme, host, port = origin(request.url)
    return {
        "planet_async.operation": request.operation,
        "http.request.method": method,
        "server.address": host,
        "server.port": port,
    }


def _description(error: Exception) -> str | None:
    """Return what went wrong where the HTTP status does not say it; texts of other errors may be secret."""
    return error.message if isinstance(error, PlanetError) and not isinstance(error, StatusError) else None


def _result_of(error: BaseException) -> _Attributes:
    """Return the attributes of an error; never its text."""
    if isinstance(error, StatusError):
        return {"http.response.status_code": error.status, "error.type": str(error.status)}
    if not isinstance(error, Exception):
        return {"error.type": "cancelled"}
    return {"error.type": f"{type(error).__module__}.{type(error).__qualname__}"}
