"""Traces in OpenTelemetry's form. Without an endpoint nothing of this is built, and costs nothing.

https://opentelemetry.io/docs/specs/semconv/ names the attributes. No value of a player is among
them: statements bear placeholders, and of errors there is the name.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import (
    INVALID_SPAN,
    Link,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    get_current_span,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from economy.errors import Decline

EXPORT_SECONDS = 2.0  # the longest that one export, also the last, may take

Attributes = Mapping[str, str | int]


class Tracing:
    def __init__(self, endpoint: str, *, share: float) -> None:
        """`share` of the traces that begin here are kept; who calls decides for its own."""
        resource = Resource.create(
            {"service.name": "economy", "service.version": version("economy")}
        )
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(share)),
            resource=resource,
            shutdown_on_exit=False,
        )
        exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=EXPORT_SECONDS)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("economy")
        self._propagator = TraceContextTextMapPropagator()

    def close(self) -> None:
        """What is not sent yet is sent."""
        self._provider.shutdown()

    @contextmanager
    def span(
        self,
        name: str,
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes | None = None,
        links: Sequence[SpanContext] = (),
        caller: Mapping[str, str] | None = None,
    ) -> Iterator[Span]:
        """`caller`: headers of who asks, which may name the trace that this is a part of. Without
        it, it is a part of what is under way; of nothing, such as a heartbeat, there is none."""
        if caller is None and not _is_traced():
            yield INVALID_SPAN
            return
        with self._tracer.start_as_current_span(
            name,
            context=None if caller is None else self._propagator.extract(caller),
            kind=kind,
            attributes=attributes,
            links=[Link(one) for one in links],
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield span
            except Decline as decline:  # an outcome like another
                span.set_attribute("economy.decline", decline.code.value)
                raise
            except Exception as error:
                note_error(span, error)
                raise

    def note(
        self, name: str, *, seconds: float, attributes: Attributes, error: BaseException | None
    ) -> None:
        """A span that has just ended, if it is a part of one."""
        if not _is_traced():
            return
        now = time.time_ns()
        span = self._tracer.start_span(
            name,
            kind=SpanKind.CLIENT,
            attributes=attributes,
            start_time=now - int(seconds * 1e9),
        )
        if error is not None:
            note_error(span, error)
        span.end(now)


def _is_traced() -> bool:
    return get_current_span().get_span_context().is_valid


def note_error(span: Span, error: BaseException) -> None:
    span.set_attribute("error.type", type(error).__name__)
    span.set_status(StatusCode.ERROR)
