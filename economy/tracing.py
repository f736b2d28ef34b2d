"""Traces in OpenTelemetry's form. Without an endpoint nothing of this is built, and costs nothing.

https://opentelemetry.io/docs/specs/semconv/ names the attributes. No value of a player is among
them: statements bear placeholders, and of errors there is the name.
"""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import (
    INVALID_SPAN,
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from economy.errors import Decline

logger = logging.getLogger(__name__)

EXPORT_SECONDS = 2.0  # the longest that one export, also the last, may take

Attributes = Mapping[str, str | int]


class _Exporter(OTLPSpanExporter):
    """Says once that the collector fails, and once that it answers again."""

    def __init__(self, url: str) -> None:
        super().__init__(url, timeout=EXPORT_SECONDS)
        for name in ("exporter", "sdk"):  # they say it each time
            logging.getLogger(f"opentelemetry.{name}").setLevel(logging.CRITICAL)
        self.is_closing = False
        self._fails = self._gives_up = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self._gives_up:
            return SpanExportResult.FAILURE
        result = super().export(spans)
        fails = result is not SpanExportResult.SUCCESS
        if fails and not self._fails:
            logger.warning("the collector of traces fails: they are dropped until it answers")
        elif self._fails and not fails:
            logger.warning("the collector of traces answers again")
        self._fails = fails
        self._gives_up = fails and self.is_closing  # each try may take its whole time
        return result


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
        self._exporter = _Exporter(f"{endpoint.rstrip('/')}/v1/traces")
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("economy")
        self._propagator = TraceContextTextMapPropagator()

    def close(self) -> None:
        """What is not sent yet is sent, unless the collector fails."""
        self._exporter.is_closing = True
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
        within: SpanContext | None = None,
    ) -> Iterator[Span]:
        """`caller`: headers of who asks, which may name the trace that this is a part of. Without
        it, it is a part of `within`, or of what is under way; of nothing, such as a heartbeat,
        there is none."""
        if caller is None and within is None and not _is_traced():
            yield INVALID_SPAN
            return
        with self._tracer.start_as_current_span(
            name,
            context=self._context(caller, within),
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

    def _context(
        self, caller: Mapping[str, str] | None, within: SpanContext | None
    ) -> Context | None:
        if within is not None:
            return set_span_in_context(NonRecordingSpan(within))
        return None if caller is None else self._propagator.extract(caller)

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
