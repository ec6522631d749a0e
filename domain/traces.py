"""Traces: where the time of a request went, from HTTP through a resolver and SQL to the job that it left behind.

OpenTelemetry carries them. Without `SIDELINE_TRACES_URL` nothing is recorded, and what is here costs next to nothing.
Spans hold names, ids and counts, and the text of statements, never their parameters, documents, variables or addresses'
queries: those may hold secrets or what somebody wrote.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.trace import Span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from domain.settings import Settings

tracer = trace.get_tracer("sideline")
_PROPAGATOR = TraceContextTextMapPropagator()


def start_traces(settings: Settings, service: str) -> Callable[[], None]:
    """Record this process's traces, if the settings say where to.

    Args:
        settings: The installation's.
        service: What this process is, as `service.name`.

    Returns:
        What sends the rest, to be called when the process ends.
    """
    if settings.traces_url is None:
        return lambda: None
    # Heavy, and needed only here.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.instrumentation.asyncpg import AsyncPGInstrumentor
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

    provider = TracerProvider(
        resource=Resource.create({"service.name": service}),
        sampler=ParentBased(TraceIdRatioBased(settings.traces_share)),
    )
    exporter = OTLPSpanExporter(endpoint=settings.traces_url.rstrip("/") + "/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    statements = AsyncPGInstrumentor(capture_parameters=False)  # type: ignore[no-untyped-call]
    statements.instrument(tracer_provider=provider)
    return provider.shutdown


def is_traced() -> bool:
    """Whether the present work belongs to a trace that is recorded."""
    return trace.get_current_span().is_recording()


def trace_parent() -> str | None:
    """The present span as a W3C `traceparent`, for who goes on with the work; None outside of a trace."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return carrier.get("traceparent")


@contextmanager
def going_on(name: str, parent: str | None, **attributes: str | int) -> Iterator[Span]:
    """A span of work that somebody left behind in a trace.

    Args:
        name: What is done.
        parent: Their `traceparent`; None begins a trace of its own.
        attributes: Ids and counts.
    """
    context = _PROPAGATOR.extract({"traceparent": parent}) if parent is not None else None
    named = {f"sideline.{key}": value for key, value in attributes.items()}
    with tracer.start_as_current_span(name, context=context, attributes=named) as span:
        yield span
