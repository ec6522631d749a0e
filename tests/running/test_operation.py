"""What an operator sees of a running installation.

A. Prometheus reads each process's numbers at a port of its own, and the API's port does not tell them.
B. One trace leads from a request through its resolver and its SQL to the job that it left behind, in another process.
C. Neither numbers nor traces nor logs hold a secret, a document, a variable, or what somebody wrote.
D. A process that is told to stop answers what it is working at, tells every stream where to go on, and loses no event.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import signal
import socket
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from cli.embedded.processes import free_port
from tests.running.cluster import Cluster, set_goal
from tests.streams import EVENTS, sse, take
from tests.streams import socket as stream_socket

SECRET_WORD = "Rumpelstiltskin"
SOURCE = "dialer"


class Collector:
    """Takes traces by OTLP over HTTP, as an operator's collector does."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.spans: list[Span] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                asked = ExportTraceServiceRequest.FromString(body)
                collector.bodies.append(body)
                for resource in asked.resource_spans:
                    for scope in resource.scope_spans:
                        collector.spans += scope.spans
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_arguments: object) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def has_whole(self, name: str) -> bool:
        """Whether a span of this name is there, and what its trace began with, which another process may tell later."""
        ends = {span.trace_id for span in self.spans if span.name == name}
        return any(span.trace_id in ends and not span.parent_span_id for span in self.spans)

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.stop()


@pytest.fixture
def watched(tmp_path: Path, collector: Collector) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    made.more = {"SIDELINE_TRACES_URL": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "200"}
    made.own = {name: {"SIDELINE_METRICS_PORT": str(free_port())} for name in ("api0", "worker")}
    try:
        made.start()
        yield made
    finally:
        made.stop()


def numbers(cluster: Cluster, name: str) -> str:
    return httpx.get(f"http://127.0.0.1:{cluster.own[name]['SIDELINE_METRICS_PORT']}/metrics", timeout=5).text


def number(cluster: Cluster, name: str, of: str) -> float:
    return sum(float(line.rsplit(" ", 1)[1]) for line in numbers(cluster, name).splitlines() if line.startswith(of))


def test_what_an_operator_sees(watched: Cluster, collector: Collector) -> None:
    """A, B, C."""
    _team, token, _reps = asyncio.run(watched.make_team())
    (url,) = watched.urls
    headers = {"authorization": f"Bearer {token}"}
    lines = "\n".join(
        json.dumps(
            {
                "kind": "email",
                "externalId": f"{SECRET_WORD}-{n}",
                "user": "nobody@x.test",
                "occurredAt": "2026-03-01T10:00:00Z",
                "subject": SECRET_WORD,
            }
        )
        for n in range(3)
    )
    with httpx.Client(base_url=url, headers=headers, timeout=30) as client:
        document = f'query Named {{ users(filter: {{search: "{SECRET_WORD}"}}) {{ totalCount }} }}'
        assert client.post("/graphql", json={"query": document}).json()["data"] == {"users": {"totalCount": 0}}
        assert client.get("/graphql", params={"query": f"{{ a{SECRET_WORD} }}"}).json()["errors"]
        sent = client.post(f"/import?source={SOURCE}&format=ndjson", content=lines)
        assert sent.status_code == 202, sent.text
        assert client.get("/metrics").status_code == 404
        deadline = time.monotonic() + 30
        while not collector.has_whole("job import"):
            names = {span.name for span in collector.spans}
            assert time.monotonic() < deadline, f"{names} {watched.logs()}"
            time.sleep(0.05)

    # A.
    assert number(watched, "api0", 'sideline_http_request_seconds_count{method="POST",route="/graphql"') == 1
    assert number(watched, "api0", 'sideline_graphql_operations_total{outcome="OK"}') == 1
    assert number(watched, "api0", 'sideline_graphql_operations_total{outcome="GRAPHQL_VALIDATION_FAILED"}') == 1
    assert number(watched, "api0", "sideline_database_connections") >= 2
    assert number(watched, "worker", 'sideline_jobs_ended_total{kind="import",outcome="succeeded"}') == 1
    assert number(watched, "worker", "sideline_jobs_running") == 0
    assert "\nsideline_jobs_due " in numbers(watched, "worker")

    # B.
    by_id = {span.span_id: span for span in collector.spans}
    (job,) = (span for span in collector.spans if span.name == "job import")
    trace = [span for span in collector.spans if span.trace_id == job.trace_id]
    (request,) = (span for span in trace if not span.parent_span_id)
    assert request.name.startswith("POST")
    assert job.parent_span_id == request.span_id
    assert any(span.name == "INSERT" and span.parent_span_id == request.span_id for span in trace)
    assert any(by_id[span.parent_span_id] is job for span in trace if span.parent_span_id)
    (field,) = (span for span in collector.spans if span.name == "Query.users")
    assert by_id[field.parent_span_id].name.startswith("POST")
    assert any(span.parent_span_id == field.span_id and span.name == "SELECT" for span in collector.spans)

    # C.
    said = [numbers(watched, "api0"), numbers(watched, "worker"), watched.logs()]
    said += [body.decode("latin-1") for body in collector.bodies]
    for text in said:
        assert SECRET_WORD not in text
        assert token not in text


NUMBERS = "subscription { metricsUpdated(range: {named: TODAY}, metrics: [CALLS_LOGGED]) { from } }"


async def test_a_process_that_is_told_to_stop(tmp_path: Path) -> None:
    """D."""
    cluster = Cluster(tmp_path, api_count=2)
    writer = httpx.AsyncClient(timeout=10)
    try:
        await asyncio.to_thread(cluster.start)
        team_id, token, reps = await cluster.make_team()
        first, second = cluster.urls
        async with stream_socket(first, token) as client:
            events = await client.subscribe(EVENTS)
            numbers = await client.subscribe(NUMBERS)
            await take(numbers, 1)
            sent = sse(first, token, EVENTS)
            waiting = asyncio.ensure_future(anext(sent))
            await set_goal(writer, second, token, reps[0], 10)
            (told,) = await take(events, 1)
            assert (await waiting)["data"] == told
            waiting = asyncio.ensure_future(anext(sent))
            asking = _Asking(first, token)
            asking.begin()
            process = cluster.processes["api0"]
            process.send_signal(signal.SIGTERM)

            async with asyncio.timeout(10):
                goodbye = await events.get()
                assert goodbye["type"] == "error"
                extensions = goodbye["payload"][0]["extensions"]
                assert (extensions["code"], extensions["cursor"]) == ("RESTARTING", told["goalEvents"]["cursor"])
                assert (await waiting)["errors"][0]["extensions"]["cursor"] == extensions["cursor"]
                while (last := await numbers.get())["type"] == "next":
                    pass
                assert last["payload"][0]["extensions"]["code"] == "RESTARTING"
                assert "cursor" not in last["payload"][0]["extensions"]
            answer = await asyncio.to_thread(asking.end)
            assert answer["data"] == {"viewer": {"coaching": {"landingTab": "TEAM"}}}
            assert await asyncio.to_thread(process.wait, 20) in {0, -signal.SIGTERM}
            await sent.aclose()

        await set_goal(writer, second, token, reps[1], 11)
        async with stream_socket(second, token) as client:
            events = await client.subscribe(EVENTS, after=extensions["cursor"])
            (missed,) = await take(events, 1)
        assert missed["goalEvents"]["cursor"] == (await cluster.cursors(team_id))[-1]
    finally:
        await writer.aclose()
        await asyncio.to_thread(cluster.stop)


class _Asking:
    """A request whose body is still on its way."""

    def __init__(self, url: str, token: str) -> None:
        host, port = url.removeprefix("http://").split(":")
        self.connection = socket.create_connection((host, int(port)), timeout=20)
        self.body = json.dumps({"query": "{ viewer { coaching { landingTab } } }"}).encode()
        self.head = (
            f"POST /graphql HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(self.body)}\r\n\r\n"
        ).encode()

    def begin(self) -> None:
        """Send the head and a piece of the body, and wait until the server has them."""
        self.connection.sendall(self.head.replace(b"\r\n\r\n", b"\r\nexpect: 100-continue\r\n\r\n"))
        assert self.connection.recv(1000).startswith(b"HTTP/1.1 100")
        self.connection.sendall(self.body[:5])

    def end(self) -> dict[str, Any]:
        """Send the rest. Returns the answer's body."""
        self.connection.sendall(self.body[5:])
        answer = b""
        with self.connection:
            while piece := self.connection.recv(65536):
                answer += piece
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), answer
        found: dict[str, Any] = json.loads(body)
        return found
