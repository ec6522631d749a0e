"""What a stranger may try, against a real process.

Invariants, of every attack here:
A. An honest user goes on being answered, correctly, all the while.
B. Afterwards the process holds no more than before: descriptors, tasks, streams, connections, turns.
C. Every refusal has a code and a request id; nothing is answered with a fault of ours.
D. No answer tells how the server is made: no traceback, SQL, path, table, driver.

And of some:
E. Documents: bombs of every kind are refused, however many come; what is invalid costs little to say so.
F. Bodies: garbage, wrong types, JSON without end, lists, and documents of 10 MB are refused.
G. A page of another origin, a form, a link and a request without the CSRF header change nothing and learn nothing.
H. Connections: silence, half a head, a head without end, a slow body, an answer that nobody fetches, half-open
   WebSockets by the thousand, pings and fragments without end are cut.
I. WebSockets: whatever is no message of the protocol closes the connection with its code.
J. Streams: what is opened beyond the caps is refused, and closing frees all of it.
K. A client that leaves takes its work along: PostgreSQL stops working at it.
L. One person's flood waits in that person's line.
M. No value of any argument of any field is answered with a fault.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest
import websockets

from api.authentication import csrf_token
from api.schema.root import schema
from api.server import HEAD_LIMIT_BYTES
from domain.ids import encode_id
from domain.paging import encode_cursor
from tests.running.attacks import Person, Plug, Target, encoded, frame, until
from tests.running.values import Values
from tests.streams import socket as stream_socket


@pytest.fixture(scope="module")
def target(database_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    made = Target(database_url, redis_url, tmp_path_factory.mktemp("attacked"))
    try:
        made.start()
        yield made
    finally:
        made.stop()


FRAGMENT = "fragment f{n} on User {{ manager {{ ...f{m} }} m: manager {{ ...f{m} }} }}"
DOCUMENTS = {
    "aliases": "{ " + " ".join(f"a{n}: __typename" for n in range(1_600)) + " }",
    "fields again and again": "{ " + "__typename " * 4_990 + "}",
    "objects again and again": "{ " + "viewer { user { id } } " * 700 + "}",
    "fields in conflict": "{ " + " ".join(f"node(id: {n}) {{ id }}" for n in range(550)) + " }",
    "directives": "{ __typename " + "@a " * 2_400 + "}",
    "known directives": "{ __typename " + "@include(if: true) " * 700 + "}",
    "doubling fragments": "{ viewer { user { ...f0 } } }"
    + "".join(FRAGMENT.format(n=n, m=n + 1) for n in range(90))
    + "fragment f90 on User { id }",
    "fragments that spread all others": "{ viewer { user { ...f0 } } }"
    + "".join(f"fragment f{n} on User {{ x {' '.join(f'...f{m}' for m in range(n + 1, 60))} }}" for n in range(60)),
    "a fragment within itself": "{ ...a } fragment a on Query { ...a }",
    "a circle of fragments": "{ ...f0 }"
    + "".join(f"fragment f{n} on Query {{ ...f{(n + 1) % 400} }}" for n in range(400)),
    "deep fields": "{ viewer { user { " + "manager { " * 200 + "id" + " }" * 200 + " } } }",
    "brackets": "{a" * 2_490 + "}" * 2_490,
    "lists in lists": "{ node(id: " + "[" * 2_400 + "]" * 2_400 + ") { id } }",
    "unknown fields of an input": "{ users(filter: {"
    + " ".join(f"a{n}: 1" for n in range(1_500))
    + "}) { nodes { id } } }",
    "variables": "query(" + " ".join(f"$v{n}: Int" for n in range(1_200)) + ") { __typename }",
    "operations": "".join(f"query q{n} {{ ...f }}" for n in range(600)) + "fragment f on Query { nothing }",
    "one of two operations": "query a { __typename } query b { __typename }",
    "a number without end": "{ users(first: " + "9" * 5_000 + ") { nodes { id } } }",
    "a name without end": "{ " + "a" * 90_000 + " }",
    "a text without end": '{ node(id: """' + "\n" * 90_000 + '""") { nothing } }',
    "types": "type A { " + " ".join(f"a{n}: Int" for n in range(1_600)) + " } { __typename }",
    "NUL": '{ node(id: "\\u0000") { id } }',
    "half a surrogate": '{ node(id: "\\ud800") { id } }',
    "ten million characters": "{ __typename }" + "#" * 10_000_000,
    "pages in pages": "{ users(first: 500) { nodes { goals(first: 500) { nodes { history { version } } } } } }",
    "no document": "qwerty cop { abc }",
    "nothing but a sign": "\0",
}


async def test_documents(target: Target) -> None:
    async with target.beside_an_honest_user(), target.client(target.admin) as client:
        for name, document in DOCUMENTS.items():
            body = encoded(query=document)
            for answer in await asyncio.gather(*(client.post("/graphql", content=body) for _ in range(3))):
                errors = target.judge(answer.status_code, answer.text, refused=True)
                assert len(errors) <= 25, f"{name}: each error costs something"
                assert len(answer.content) < 100_000, name


ONE = b'{"query": "{ __typename }", '
BODIES = {
    "invalid UTF-8": b'{"query": "{ \xff\xfe }"}',
    "NUL": b"\0" * 100,
    "UTF-16": '{"query": "{ __typename }"}'.encode("utf-16"),
    "half": b'{"query": "{ __ty',
    "nothing": b"",
    "a number": b"7",
    "null": b"null",
    "a text": b'"{ __typename }"',
    "a list of operations": b'[{"query": "{ __typename }"}, {"query": "{ __typename }"}]',
    "a list of very many": b"[" + b'{"query": "{ __typename }"},' * 10_000 + b"{}]",
    "no operation": b"{}",
    "an empty document": b'{"query": ""}',
    "a document that is a list": b'{"query": ["{ __typename }"]}',
    "a name that is an object": ONE + b'"operationName": {}}',
    "a name that is a list": ONE + b'"operationName": []}',
    "a name that is none": ONE + b'"operationName": "x"}',
    "variables that are a number": ONE + b'"variables": 7}',
    "variables that are a list": ONE + b'"variables": [1]}',
    "extensions that are a list": ONE + b'"extensions": [1]}',
    "a hash with NUL": b'{"extensions": {"persistedQuery": {"sha256Hash": "\\u0000"}}}',
    "a hash that is an object": b'{"extensions": {"persistedQuery": {"sha256Hash": {}}}}',
    "a hash without end": b'{"extensions": {"persistedQuery": {"sha256Hash": "' + b"a" * 100_000 + b'"}}}',
    "the key twice": ONE + b'"query": "{ nothing }"}',
    "deep JSON": ONE + b'"variables": {"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
    "deep objects": ONE + b'"variables": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
    "millions of values": ONE + b'"variables": {"i": [' + b"1," * 4_000_000 + b"1]}}",
    "millions of lists": ONE + b'"variables": {"i": [' + b"[]," * 3_000_000 + b"1]}}",
    "more than is read": ONE + b'"a": "' + b"#" * (17 * 2**20) + b'"}',
    "half a surrogate": b'{"query": "query($i: ID!) { node(id: $i) { id } }", "variables": {"i": "\\ud800"}}',
    "NUL in a variable": b'{"query": "query($i: ID!) { node(id: $i) { id } }", "variables": {"i": "a\\u0000"}}',
    "an endless number": b'{"query": "query($n: Int) { users(first: $n) { totalCount } }", "variables": {"n": '
    + b"9" * 5_000
    + b"}}",
    "an infinite number": b'{"query": "query($n: Int) { users(first: $n) { totalCount } }", "variables": {"n": 1e999}}',
    "a number of 65 bits": b'{"query": "query($n: Int) { users(first: $n) { totalCount } }", '
    b'"variables": {"n": 36893488147419103232}}',
    "a page by a fraction": b'{"query": "query($n: Int) { users(first: $n) { nodes { goals(first: $n) { nodes { id '
    b'history { version } } } } } }", "variables": {"n": 500.0}}',
    "a gzip stream": gzip.compress(b'{"query": "{ __typename }"}'),
}


async def test_bodies(target: Target) -> None:
    async with target.beside_an_honest_user(), target.client(target.admin) as client:
        for name, body in BODIES.items():
            answers = await asyncio.gather(*(client.post("/graphql", content=body) for _ in range(2)))
            answers.append(await client.post("/session", content=body))
            for answer in answers:
                assert target.judge(answer.status_code, answer.text, refused=True), name
            stream = await client.post("/graphql", content=body, headers={"accept": "text/event-stream"})
            if stream.status_code == 200:
                (told,) = [line for line in stream.text.splitlines() if line.startswith("data: ")]
                target.judge(200, told.removeprefix("data: "), refused=True)
            else:
                target.judge(stream.status_code, stream.text, refused=True)


PLACES = [
    ("GET", "/nothing"),
    ("PUT", "/graphql"),
    ("DELETE", "/import"),
    ("POST", "/healthz"),
    ("GET", "/graphql/static/%00"),
    ("GET", "/graphql/static/..%2f..%2fapp.py"),
    ("GET", "/graphql/static/" + "x" * 5_000),
    ("GET", "/graphql?query=mutation{__typename}"),
    ("GET", "/graphql?query=query%20a{__typename}%20mutation%20b{__typename}"),
    ("GET", "/graphql?query={__typename}&variables={"),
    ("GET", "/graphql?query={__typename}&variables=[1]"),
    ("GET", "/graphql?query={__typename}&extensions=7"),
    ("GET", "/graphql?query=%ff%fe{__typename}"),
    ("GET", "/graphql"),
    ("GET", "/import"),
    ("POST", "/import?format=ndjson&source=%00"),
    ("POST", "/import?format=ndjson&source=" + "a" * 5_000),
    ("POST", "/import?format=%00&source=x"),
    ("POST", "/import?format=ndjson&source=x&dryRun=%00"),
]


async def test_addresses_and_methods(target: Target) -> None:
    async with target.beside_an_honest_user(), target.client(target.admin) as client:
        for method, address in PLACES:
            answer = await client.request(method, address)
            target.judge(answer.status_code, answer.text, refused=True)
        for header in ("Bearer \xff", "Bearer a.b.c", "Bearer " + "x" * 60_000, "Basic eDp5"):
            answer = await client.get(
                "/graphql?query={__typename}", headers={"authorization": header.encode("latin-1")}
            )
            target.judge(answer.status_code, answer.text, refused=True)


async def count(target: Target, table: str) -> int:
    connection: Any = await target.database()
    try:
        return int(await connection.fetchval(f"SELECT count(*) FROM {table}"))
    finally:
        await connection.close()


MUTATION = 'mutation { createGroup(input: {name: "Stolen"}) { group { id } } }'


async def test_other_sites_change_nothing(target: Target) -> None:
    """The victim's browser sends the cookie along, whatever page makes it ask."""
    session = target.admin.session
    cookie = {"cookie": f"sideline_session={session}"}
    token = {"x-sideline-csrf": csrf_token(session)}
    json_type = {"content-type": "application/json"}
    groups = await count(target, "groups")
    form = b"query=" + MUTATION.replace(" ", "+").encode()
    part = (
        b'--x\r\ncontent-disposition: form-data; name="operations"\r\n\r\n' + encoded(query=MUTATION) + b"\r\n--x--\r\n"
    )
    host = f"127.0.0.1:{target.port}"
    tries: list[tuple[dict[str, str], bytes]] = [
        ({"content-type": "text/plain"}, encoded(query=MUTATION)),
        ({"content-type": "text/plain", **token}, encoded(query=MUTATION)),
        ({"content-type": "application/x-www-form-urlencoded", **token}, form),
        ({"content-type": "multipart/form-data; boundary=x", **token}, part),
        ({"content-type": "", **token}, encoded(query=MUTATION)),
        (json_type, encoded(query=MUTATION)),
        ({**json_type, "x-sideline-csrf": "0" * 64}, encoded(query=MUTATION)),
        ({**json_type, "x-sideline-csrf": "\xff"}, encoded(query=MUTATION)),
        ({**json_type, "accept": "text/event-stream"}, encoded(query=MUTATION)),
        ({"content-type": "text/plain", "accept": "text/event-stream", **token}, encoded(query=MUTATION)),
    ]
    origins = (
        "http://evil.test",
        "null",
        "http://[::1",
        f"http://{host}.evil.test",
        f"http://evil.test/{host}",
        "//",
        "",
    )
    tries += [({**json_type, **token, "origin": origin}, encoded(query=MUTATION)) for origin in origins]
    async with target.beside_an_honest_user(), target.client() as client:
        for headers, body in tries:
            sent = {name: value.encode("latin-1") for name, value in (headers | cookie).items()}
            answer = await client.post("/graphql", content=body, headers=sent)
            target.judge(answer.status_code, answer.text, refused=True)
        for origin in origins:
            address = "/graphql?query={viewer{user{name}}}"
            answer = await client.get(address, headers=cookie | {"origin": origin})
            target.judge(answer.status_code, answer.text, refused=True)
            assert (await client.get("/session", headers=cookie | {"origin": origin})).status_code == 403
        answer = await client.get("/graphql", params={"query": MUTATION}, headers=cookie | token)
        target.judge(answer.status_code, answer.text, refused=True)
        answer = await client.delete("/session", headers=cookie)
        target.judge(answer.status_code, answer.text, refused=True)
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
            body = encoded(token=target.admin.token)
            answer = await client.post("/session", content=body, headers={"content-type": kind})
            target.judge(answer.status_code, answer.text, refused=True)
            assert "set-cookie" not in answer.headers
        # A token in a cookie and a session in a header are neither.
        for headers in ({"cookie": f"sideline_session={target.admin.token}"}, {"authorization": f"Bearer {session}"}):
            answer = await client.post("/graphql", content=encoded(query=MUTATION), headers=headers | token | json_type)
            assert answer.status_code == 401
        assert await count(target, "groups") == groups
        own = {**json_type, **token, **cookie, "origin": target.url}
        answer = await client.post("/graphql", content=encoded(query="{ viewer { user { id } } }"), headers=own)
        target.judge(answer.status_code, answer.text, refused=False)
        assert not [name for name in answer.headers if name.startswith("access-control")], "no origin is let in"


async def test_other_sites_get_no_websocket(target: Target) -> None:
    cookie = {"cookie": f"sideline_session={target.admin.session}"}
    address = target.url.replace("http", "ws", 1) + "/graphql"

    async def closed(headers: dict[str, str]) -> int | None:
        protocols: Any = ["graphql-transport-ws"]
        async with websockets.connect(address, subprotocols=protocols, additional_headers=headers) as raw:
            await raw.send('{"type": "connection_init"}')
            try:
                assert json.loads(await raw.recv())["type"] == "connection_ack"
            except websockets.ConnectionClosed as error:
                return error.rcvd.code if error.rcvd else None
            return None

    async with target.beside_an_honest_user():
        for origin in ("http://evil.test", "null", "http://[::1", f"{target.url}.evil.test"):
            assert await closed(cookie | {"origin": origin}) == 4403, origin
        assert await closed(cookie) == 4403, "who is no browser shows a token"
        assert await closed(cookie | {"origin": target.url}) is None


def request_head(length: int, *more: str) -> str:
    lines = ["POST /graphql HTTP/1.1", "Host: x", "Content-Type: application/json", f"Content-Length: {length}", *more]
    return "\r\n".join(lines) + "\r\n"


@asynccontextmanager
async def plugs(target: Target, number: int, *, small: bool = False) -> AsyncIterator[list[Plug]]:
    made = [Plug(target.port, small=small) for _ in range(number)]
    try:
        yield made
    finally:
        for plug in made:
            plug.close()


async def test_slow_clients_are_cut(target: Target) -> None:
    bearer = f"Authorization: Bearer {target.admin.token}\r\n"
    async with target.beside_an_honest_user(), plugs(target, 400) as made:
        silent, half, body, dripping = made[:100], made[100:200], made[200:300], made[300:]
        for plug in half:
            await plug.say(request_head(10).encode())
        for plug in body:
            await plug.say((request_head(1_000) + bearer + "\r\n{").encode())
        for plug in dripping:
            # Refused at once for want of a token, and then goes on and on.
            await plug.say((request_head(10_000_000) + "\r\n").encode())

        async def drip() -> None:
            while True:
                for plug in dripping:
                    await plug.say(b"x")
                await asyncio.sleep(0.2)

        going_on = asyncio.ensure_future(drip())
        try:
            for plug in (*silent, *half):
                assert await plug.hear() == b""
            for plug in body:
                answer = (await plug.hear()).decode()
                assert answer.startswith("HTTP/1.1 408 ")
                (error,) = target.judge(408, answer.partition("\r\n\r\n")[2])
                assert error["extensions"]["code"] == "TIMEOUT"
            for plug in dripping:
                assert (await plug.hear()).startswith(b"HTTP/1.1 401 ")
        finally:
            going_on.cancel()
            await asyncio.wait({going_on})


ENDLESS = {
    "an address": "GET /{} HTTP/1.1\r\n",
    "a header": "GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n",
    "a name": "GET / HTTP/1.1\r\nHost: x\r\n{}: x\r\n",
    "headers": "GET / HTTP/1.1\r\nHost: x\r\n" + "X: x\r\n" * 400_000,
    "a trailer": "POST /session HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX: {}\r\n",
}


async def test_heads_have_an_end(target: Target) -> None:
    async with target.beside_an_honest_user(), plugs(target, len(ENDLESS)) as made:
        before = (await target.measure())["resident"]
        for plug, head in zip(made, ENDLESS.values(), strict=True):
            data = head.replace("{}", "a" * (40 * HEAD_LIMIT_BYTES)).encode()
            saying = asyncio.ensure_future(plug.say(data))
            answer = (await plug.hear()).decode()
            await saying
            if answer:
                status = int(answer.split()[1])
                target.judge(status, answer.partition("\r\n\r\n")[2], refused=True)
        assert (await target.measure())["resident"] < before + 20 * 2**20


async def test_what_is_no_http(target: Target) -> None:
    async with target.beside_an_honest_user(), plugs(target, 4) as made:
        garbage = (
            b"\x16\x03\x01\x02\x00\x01",
            b"GET /\0 HTTP/1.1\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"\r\n" * 9,
        )
        for plug, data in zip(made, garbage, strict=True):
            await plug.say(data)
            answer = (await plug.hear()).decode()
            if answer:
                target.judge(int(answer.split()[1]), answer.partition("\r\n\r\n")[2], refused=True)


async def test_requests_do_not_pile_up(target: Target) -> None:
    async with target.beside_an_honest_user(), plugs(target, 20, small=True) as made:
        for plug in made:
            await plug.say(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n" * 2_000)
        for plug in made:
            assert (await plug.hear()).count(b"HTTP/1.1 200") < 2_000


def much(target: Target) -> dict[str, Any]:
    """An operation whose answer has some 6 MB, for little work: more than the buffers between two processes hold."""
    fields = " ".join(f"a{n}: nodes(ids: $i) {{ {'x' * 1_000}: id }}" for n in range(12))
    return {"query": f"query($i: [ID!]!) {{ {fields} }}", "variables": {"i": [target.ids["User"]] * 500}}


async def test_answers_that_nobody_fetches(target: Target) -> None:
    body = encoded(**much(target))
    bearer = f"Authorization: Bearer {target.admin.token}\r\n"
    async with target.beside_an_honest_user():
        before = await target.measure()
        async with plugs(target, 5, small=True) as made:
            for plug in made:
                await plug.say((request_head(len(body)) + bearer + "\r\n").encode() + body)
            # Nobody hangs up, and nobody reads: the server lets go all the same.
            await target.settles(before)


async def test_half_open_websockets_by_the_thousand(target: Target) -> None:
    """They make room for each other, so that somebody who signs in at once always can."""
    async with target.beside_an_honest_user():
        made: list[Plug] = []
        try:
            for _ in range(2_000):
                made.append(Plug(target.port))
                await made[-1].open_websocket()
            assert (await target.measure())["lobby"] <= 500
            async with stream_socket(target.url, target.honest.token) as client:
                queue = await client.subscribe("{ viewer { user { id } } }")
                answer = await asyncio.wait_for(queue.get(), 30)
                assert answer["payload"]["data"]["viewer"]["user"]["id"] == encode_id("User", target.honest.id)
            assert (await made[0].hear()).startswith(bytes([0x88])), "it was told to come again"

            async def empty() -> bool:
                return (await target.measure())["lobby"] == 0

            await until(empty, lambda: "they wait for ever")
        finally:
            for plug in made:
                plug.close()


INIT = '{{"type": "connection_init", "payload": {{"authorization": "Bearer {}"}}}}'


async def test_websockets_that_never_read(target: Target) -> None:
    init = frame(INIT.format(target.admin.token).encode())
    ask = frame(encoded(id="1", type="subscribe", payload=much(target)))
    async with target.beside_an_honest_user():
        before = await target.measure()
        async with plugs(target, 6, small=True) as made:
            for plug in made:
                await plug.open_websocket()
                await plug.say(init)
                await plug.say(ask)
            pinging, opened = made[0], b""
            while await pinging.say(frame(b"x" * 125, opcode=9) * 2_000):
                opened += b"."
                assert len(opened) < 2_000, "pongs pile up"
            await target.settles(before)


async def test_signed_in_websockets_that_do_nothing(target: Target) -> None:
    async with target.beside_an_honest_user():
        before = await target.measure()
        async with plugs(target, 100) as made:
            for plug in made:
                await plug.open_websocket()
                await plug.say(frame(INIT.format(target.admin.token).encode()))

            async def signed_in() -> bool:
                now = await target.measure()
                return now["connections"] >= 100 and now["lobby"] == 0

            await until(signed_in, lambda: "some are not let in")
        await target.settles(before)


MESSAGES: dict[str, tuple[str | bytes, ...]] = {
    "no JSON": ("{",),
    "no object": ("[]",),
    "a number": ("7",),
    "no type": ("{}",),
    "a type that is an object": ('{"type": {}}',),
    "an unknown type": ('{"type": "start", "id": "1", "payload": {}}',),
    "bytes": (b'{"type": "ping"}',),
    "too much": ('{"type": "' + "x" * 1_100_000 + '"}',),
    "too many values": ('{"type": "ping", "payload": [' + "1," * 400_000 + "1]}",),
    "deep": ('{"type": "ping", "payload": ' + "[" * 100_000 + "]" * 100_000 + "}",),
    "no token": ('{"type": "connection_init"}',),
    "a payload that is a list": ('{"type": "connection_init", "payload": []}',),
    "a token that is an object": ('{"type": "connection_init", "payload": {"authorization": {}}}',),
    "a wrong token": ('{"type": "connection_init", "payload": {"authorization": "Bearer sl_x\\u0000"}}',),
    "not signed in": ('{"id": "1", "type": "subscribe", "payload": {"query": "{ __typename }"}}',),
    "twice": ("INIT", "INIT"),
    "no id": ("INIT", '{"type": "subscribe", "payload": {"query": "{ __typename }"}}'),
    "an id that is a number": ("INIT", '{"type": "subscribe", "id": 1, "payload": {"query": "{ __typename }"}}'),
    "an id without end": ("INIT", '{"type": "subscribe", "id": "' + "é" * 5_000 + '", "payload": {"query": "{ a }"}}'),
    "no payload": ("INIT", '{"type": "subscribe", "id": "1"}'),
    "no query": ("INIT", '{"type": "subscribe", "id": "1", "payload": {}}'),
    "a query that is a list": ("INIT", '{"type": "subscribe", "id": "1", "payload": {"query": ["{ __typename }"]}}'),
    "a name that is an object": (
        "INIT",
        '{"type": "subscribe", "id": "1", "payload": {"query": "{ __typename }", "operationName": {}}}',
    ),
    "variables that are a list": (
        "INIT",
        '{"type": "subscribe", "id": "1", "payload": {"query": "{ __typename }", "variables": []}}',
    ),
    "an id that is taken": (
        "INIT",
        *[
            '{"type": "subscribe", "id": "'
            + "é" * 200
            + '", "payload": {"query": "subscription { goalEvents { type } }"}}'
        ]
        * 2,
    ),
}


async def talk(raw: Any, messages: tuple[str | bytes, ...]) -> None:
    for message in messages:
        await raw.send(message)
    while True:
        assert json.loads(await raw.recv())["type"] == "connection_ack"


async def test_messages_of_no_protocol(target: Target) -> None:
    address = target.url.replace("http", "ws", 1) + "/graphql"
    protocols: Any = ["graphql-transport-ws"]
    async with target.beside_an_honest_user():
        init = INIT.format(target.admin.token)
        for name, messages in MESSAGES.items():
            async with websockets.connect(address, subprotocols=protocols) as raw:
                with pytest.raises(websockets.ConnectionClosed) as closing:
                    await talk(raw, tuple(init if one == "INIT" else one for one in messages))
            closed = closing.value.rcvd
            assert closed is not None, name
            assert closed.code in (1009, 4400, 4401, 4403, 4409, 4429), (name, closed)
            assert not [one for one in ("Error", "Traceback", ".py") if one in closed.reason], (name, closed)


async def test_messages_in_fragments_without_end(target: Target) -> None:
    async with target.beside_an_honest_user(), plugs(target, 3) as made:
        for plug in made:
            await plug.open_websocket()
            await plug.say(frame(b"{", final=False))
            sent = 0
            while await plug.say(frame(b"", opcode=0, final=False) * 1_000):
                sent += 1
                assert sent < 5_000, "fragments pile up"


async def test_wrong_subprotocol(target: Target) -> None:
    address = target.url.replace("http", "ws", 1) + "/graphql"
    async with target.beside_an_honest_user(), websockets.connect(address) as raw:
        with pytest.raises(websockets.ConnectionClosed) as closing:
            await raw.recv()
    assert closing.value.rcvd is not None
    assert closing.value.rcvd.code == 4406


SUBSCRIPTION = "subscription { goalEvents { cursor } }"


async def test_streams_beyond_the_caps(target: Target) -> None:
    async with target.beside_an_honest_user():
        before = await target.measure()
        async with (
            stream_socket(target.url, target.admin.token) as first,
            stream_socket(target.url, target.admin.token) as second,
            stream_socket(target.url, target.admin.token) as third,
        ):
            queues = [await one.subscribe(SUBSCRIPTION) for one in (first, second, third) for _ in range(70)]

            async def full() -> bool:
                return (await target.measure())["streams"] == before["streams"] + 100

            await until(full, lambda: "the cap is not reached")
            refusals = [queue.get_nowait() for queue in queues if not queue.empty()]
            assert len(refusals) >= 3 * 20, "beyond 50 of a connection"
            for refusal in refusals:
                assert refusal["type"] == "error"
                (error,) = target.judge(200, json.dumps({"errors": refusal["payload"]}))
                assert error["extensions"]["code"] == "TOO_MANY_STREAMS"
            async with target.client(target.admin) as client:
                headers = {"accept": "text/event-stream"}
                answer = await client.post("/graphql", content=encoded(query=SUBSCRIPTION), headers=headers)
                (told,) = [line for line in answer.text.splitlines() if line.startswith("data: ")]
                (error,) = target.judge(200, told.removeprefix("data: "))
                assert error["extensions"]["code"] == "TOO_MANY_STREAMS"
        await target.settles(before)


async def test_operations_that_are_begun_and_left(target: Target) -> None:
    async with target.beside_an_honest_user(), stream_socket(target.url, target.admin.token) as client:
        for number in range(400):
            name = f"x{number}"
            client.waiting[name] = asyncio.Queue()
            payload = {"query": "{ users { nodes { id goals { totalCount } } } }"}
            await client.raw.send(json.dumps({"id": name, "type": "subscribe", "payload": payload}))
            await client.raw.send(json.dumps({"id": name, "type": "complete"}))
        queue = await client.subscribe("{ viewer { user { id } } }")
        assert (await asyncio.wait_for(queue.get(), 30))["type"] == "next"


WAITING = """SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock' AND state = 'active'"""
SLOW = {
    "resolver": ("webhook_endpoints", "{ webhookEndpoints { url } }"),
    "loader": ("activities", "{ node(id: $id) { id } }"),
    "shared look-up": ("team_feeds", "{ metrics { key } }"),
    "transaction": (
        "webhook_endpoints",
        'mutation { createWebhookEndpoint(input: {url: "https://a.test"}) { secret } }',
    ),
}


@pytest.mark.parametrize("way", ["http", "sse", "websocket"])
@pytest.mark.parametrize("kind", SLOW)
async def test_who_leaves_takes_the_work_along(target: Target, kind: str, way: str) -> None:
    table, document = SLOW[kind]
    document = document.replace("$id", f'"{encode_id("EmailActivity", target.admin.id)}"')
    watching: Any = await target.database()
    holding: Any = await target.database()
    before = await target.measure()
    held = holding.transaction()
    await held.start()
    await holding.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")

    async def waits() -> bool:
        return bool(await watching.fetchval(WAITING))

    async def gone() -> bool:
        return not await watching.fetchval(WAITING)

    try:
        if way == "websocket":
            async with stream_socket(target.url, target.admin.token) as client:
                await client.subscribe(document)
                await until(waits, lambda: "it does not begin")
        else:
            async with target.client(target.admin) as http:
                headers = {"accept": "text/event-stream"} if way == "sse" else {}
                body = encoded(query=document)
                asking = asyncio.ensure_future(http.post("/graphql", content=body, headers=headers))
                await until(waits, lambda: "it does not begin")
                asking.cancel()
                await asyncio.wait({asking})
        await until(gone, lambda: "PostgreSQL still works at it")
    finally:
        await held.rollback()
        await holding.close()
        await watching.close()
    await target.settles(before)


async def test_a_flood_waits_in_its_own_line(target: Target) -> None:
    days = 'range: {from: "2026-01-01", to: "2026-12-31"}'
    document = f"{{ teamDashboard({days}) {{ metrics {{ value goal trend(interval: DAY) {{ value }} }} }} }}"
    body = encoded(query=document)
    async with target.beside_an_honest_user(), target.client(target.admin) as client:
        answers = await asyncio.gather(*(client.post("/graphql", content=body) for _ in range(250)))
        statuses = {answer.status_code for answer in answers}
        assert statuses <= {200, 429}, statuses
        for answer in answers:
            errors = target.judge(answer.status_code, answer.text, refused=answer.status_code == 429)
            if errors:
                assert errors[0]["extensions"]["code"] == "RATE_LIMITED"
                assert int(answer.headers["retry-after"]) >= 1


async def test_uploads_that_break_off_leave_nothing(target: Target) -> None:
    async with target.beside_an_honest_user():
        before = await count(target, "imports"), await count(target, "import_chunks")
        head = (
            "POST /import?source=x&format=ndjson HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n"
            f"Authorization: Bearer {target.admin.token}\r\n\r\n"
        )
        async with plugs(target, 20) as made:
            for plug in made:
                await plug.say(head.encode() + b"{}\n" * 400_000)
            for plug in made[:10]:
                plug.close()
            # The others are there, and send no more.
            for plug in made[10:]:
                assert (await plug.hear()).startswith(b"HTTP/1.1 408 ")

        async def nothing() -> bool:
            return (await count(target, "imports"), await count(target, "import_chunks")) == before

        await until(nothing, lambda: "something is left of an upload")


async def test_gzip_bombs(target: Target) -> None:
    """The worker gives them up, grows by no more than a piece of them, and goes on with what is honest."""
    bomb = gzip.compress(bytes(4 * 2**20)) * 100
    small = gzip.compress(b"{}")
    members = small * 50_000
    files = {"bomb": bomb, "members": members, "half": bomb[:-7], "none": b"\x1f\x8b" + b"x" * 10_000, "honest": small}
    worker = target.spawn("workers", "worker.log")
    try:
        async with target.beside_an_honest_user(), target.client(target.admin) as client:
            waiting: dict[str, str] = {}
            for name, content in files.items():
                answer = await client.post("/import?source=x&format=ndjson", content=content)
                assert answer.status_code == 202, answer.text
                waiting[name] = answer.json()["job"]["id"]
            document = "query($id: ID!) { job(id: $id) { state error import { rejected } } }"
            ended: dict[str, Any] = {}

            async def all_ended() -> bool:
                for name, job in waiting.items():
                    answer = await client.post("/graphql", content=encoded(query=document, variables={"id": job}))
                    target.judge(answer.status_code, answer.text, refused=False)
                    found = answer.json()["data"]["job"]
                    if found["state"] in ("SUCCEEDED", "FAILED"):
                        ended[name] = found
                return len(ended) == len(files)

            await until(all_ended, lambda: str(ended))
            assert {name: one["state"] for name, one in ended.items()} == {
                "bomb": "FAILED",
                "members": "SUCCEEDED",
                "half": "FAILED",
                "none": "FAILED",
                "honest": "SUCCEEDED",
            }, ended
            peak = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{worker.pid}/status").read_text())
            assert peak is not None
            assert int(peak[1]) < 500_000, "kilobytes"
    finally:
        worker.terminate()
        worker.wait(20)


AT_ONCE = 12


async def ask_all(target: Target, person: Person, operations: list[tuple[str, dict[str, Any]]]) -> None:
    waiting = iter(operations)

    async def some(client: aiohttp.ClientSession) -> None:
        for document, variables in waiting:
            async with client.post("/graphql", data=encoded(query=document, variables=variables)) as answer:
                try:
                    target.judge(answer.status, await answer.text())
                except AssertionError as error:
                    raise AssertionError(f"{document[:200]} {str(variables)[:500]}") from error

    # For ten thousand requests httpx would need as much time as the server.
    connector = aiohttp.TCPConnector(limit=AT_ONCE)
    patience = aiohttp.ClientTimeout(60)
    async with aiohttp.ClientSession(
        target.url, headers=person.bearer, connector=connector, timeout=patience
    ) as client:
        await asyncio.gather(*(some(client) for _ in range(AT_ONCE)))


async def test_any_value_of_any_argument(target: Target) -> None:
    made = Values(target.ids)
    graphql_schema = schema._schema
    assert graphql_schema.query_type is not None
    assert graphql_schema.mutation_type is not None
    reading = list(made.operations(graphql_schema.query_type, "query"))
    writing = list(made.operations(graphql_schema.mutation_type, "mutation"))
    assert len(reading) > 400
    assert len(writing) > 1_000
    async with target.beside_an_honest_user():
        await ask_all(target, target.admin, reading)
        await ask_all(target, target.admin, writing)
        # A rep is refused most of it, whatever the value.
        await ask_all(target, target.rep, (reading + writing)[::7])


NO_VALUES: list[list[Any]] = [
    ["\0", "\0", "\0", "\0"],
    [2**63, 2**63, 2**63, 2**63],
    [True, "1e999999999", "a", "0" * 32],
    [False, "NaN", "\0", "0" * 32],
    ["0001-01-01T00:00:00+14:00", "0" * 32],
    ["9999-12-31T23:59:59-14:00", "0" * 32],
    ["2026-01-01T00:00:00", "0" * 32],
    [[], {}, None, 1.5],
    [],
]
PAGES = {
    "users:name": "users({})",
    "users:email": "users({} orderBy: EMAIL)",
    "groups": "groups({})",
    "activities": "activities({})",
    "goals": "goals({})",
    "reps": "individuals(range: {{named: TODAY}} {})",
    "audit": "auditLog({})",
}


async def test_cursors_that_nobody_gave_out(target: Target) -> None:
    operations: list[tuple[str, dict[str, Any]]] = []
    for name, call in PAGES.items():
        document = f"query($a: String) {{ {call.format('after: $a')} {{ pageInfo {{ endCursor }} }} }}"
        for values in NO_VALUES:
            operations += [(document, {"a": encode_cursor(name, *values[:length])}) for length in range(1, 5)]
        operations += [(document, {"a": text}) for text in ("é", "=", "W10", "x" * 10_000)]
    async with target.beside_an_honest_user(), target.client(target.admin) as client:
        await ask_all(target, target.admin, operations)
        for text in (encode_cursor("goalEvents", "\0", 2**63), encode_cursor("goalEvents", "0" * 32, -1), "é", ""):
            body = encoded(query="subscription($a: String) { goalEvents(after: $a) { type } }", variables={"a": text})
            async with client.stream(
                "POST", "/graphql", content=body, headers={"accept": "text/event-stream"}
            ) as answer:
                async for line in answer.aiter_lines():
                    if line.startswith("data: "):
                        target.judge(200, line.removeprefix("data: "), refused=True)
                        break


async def test_the_whole_of_it_left_no_trace(target: Target) -> None:
    """After all that: the process lives, and has logged no fault of its own."""
    assert target.process is not None
    assert target.process.poll() is None
    log = (target.folder / "api.log").read_text()
    for line in log.splitlines():
        assert "request.failed" not in line, line
        assert "Exception in ASGI application" not in line, log[log.index(line) :][:6000]
        assert "never retrieved" not in line, line
    async with target.client(target.honest) as client:
        answer = await client.post("/graphql", content=encoded(query="{ viewer { user { id } } }"))
        target.judge(answer.status_code, answer.text, refused=False)
        assert isinstance(answer, httpx.Response)
