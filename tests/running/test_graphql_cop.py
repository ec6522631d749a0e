"""The checks of graphql-cop (github.com/dolevf/graphql-cop), each under its name, against a real process.

The tool itself is in no registry: PyPI's `graphql-cop` 0.0.1 is an empty reservation of the name, npm has none. What
follows sends what its checks send and looks for what they look for; nothing of it is the tool's own code.

`hardened` is a process with SIDELINE_INTROSPECTION and SIDELINE_GRAPHIQL off, `target` one with the defaults. Of the
checks that the defaults do not pass, each says why: they are switches, or reading by GET, which EventSource needs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.running.attacks import Target


def made(database_url: str, redis_url: str, folder: Any, **more: str) -> Iterator[Target]:
    target = Target(database_url, redis_url, folder, more)
    try:
        target.start()
        yield target
    finally:
        target.stop()


@pytest.fixture(scope="module")
def target(database_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    yield from made(database_url, redis_url, tmp_path_factory.mktemp("target"))


@pytest.fixture(scope="module")
def hardened(database_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    switches = {"SIDELINE_INTROSPECTION": "false", "SIDELINE_GRAPHIQL": "false"}
    yield from made(database_url, redis_url, tmp_path_factory.mktemp("hardened"), **switches)


def ask(target: Target, document: str, *, refused: bool | None = True) -> dict[str, Any]:
    """What the tool's graph_query does, as an Admin: nobody without a token gets an answer at all."""
    body = {"operationName": None, "variables": {}, "query": document}
    unknown = httpx.post(f"{target.url}/graphql", json=body, timeout=60)
    assert unknown.status_code == 401
    answer = httpx.post(f"{target.url}/graphql", json=body, headers=target.admin.bearer, timeout=60)
    target.judge(answer.status_code, answer.text, refused=refused)
    found: dict[str, Any] = answer.json()
    return found


def test_alias_overloading(target: Target) -> None:
    answer = ask(target, "query { " + " ".join(f"alias{n}:__typename" for n in range(101)) + " }")
    assert "data" not in answer
    assert answer["errors"][0]["extensions"]["code"] == "LIMIT_EXCEEDED"


def test_array_based_query_batching(target: Target) -> None:
    body = [{"query": "query { __typename }"}] * 10
    answer = httpx.post(f"{target.url}/graphql", json=body, headers=target.admin.bearer, timeout=60)
    assert target.judge(answer.status_code, answer.text, refused=True)
    assert isinstance(answer.json(), dict)


def test_directive_overloading(target: Target) -> None:
    answer = ask(target, "query { __typename " + "@aa" * 10 + " }")
    assert len(answer["errors"]) == 1
    assert answer["errors"][0]["extensions"]["code"] == "LIMIT_EXCEEDED"


def test_introspection_based_circular_query(target: Target) -> None:
    inner = "fields { type { " * 4
    answer = ask(target, "query { __schema { types { " + inner + "name" + " } }" * 4 + " } } }")
    assert "data" not in answer


def test_circular_fragment(target: Target) -> None:
    fragments = "fragment A on __Schema { __typename ...B } fragment B on __Schema { ...A }"
    assert "data" not in ask(target, "query { __schema { ...A } } " + fragments)


def test_field_duplication(target: Target) -> None:
    answer = ask(target, "query { " + "__typename \n" * 500 + "}")
    assert "data" not in answer
    assert answer["errors"][0]["extensions"]["code"] == "LIMIT_EXCEEDED"


def test_get_method_query_support(target: Target) -> None:
    """Reading by GET is on: it changes nothing. What the check warns of is a link on another site that a browser
    follows with its cookie, and that gets nothing."""
    address = f"{target.url}/graphql?query={{__typename}}"
    assert httpx.get(address).status_code == 401
    assert httpx.get(address, headers=target.admin.bearer).json()["data"] == {"__typename": "Query"}
    cookie = {"cookie": f"sideline_session={target.admin.session}", "origin": "http://evil.test"}
    answer = httpx.get(address, headers=cookie)
    assert answer.status_code == 403
    assert target.judge(answer.status_code, answer.text, refused=True)


def test_get_based_mutation(target: Target) -> None:
    address = f"{target.url}/graphql?query=mutation{{__typename}}"
    answer = httpx.get(address, headers=target.admin.bearer)
    assert target.judge(answer.status_code, answer.text, refused=True)


def test_post_based_url_encoded_query(target: Target) -> None:
    bearer = {"authorization": f"Bearer {target.admin.token}"}
    for sent in ({"params": {"query": "query {__typename}"}}, {"data": {"query": "query {__typename}"}}):
        answer = httpx.post(f"{target.url}/graphql", headers=bearer, **sent)  # type: ignore[arg-type]
        assert target.judge(answer.status_code, answer.text, refused=True)


SUGGESTING = [
    "query { __schema { directive } }",
    "query { viewr { user { id } } }",
    "query { viewer { usr { id } } }",
    "query { users(frst: 1) { nodes { id } } }",
    "query { users(filter: { serch: 1 }) { nodes { id } } }",
    "query { users(orderBy: NAM) { nodes { id } } }",
    "query { ... on Viewr { team { id } } }",
    'query { node(id: "x") { ... on Usr { id } } }',
    "query($o: UserOrdr) { users(orderBy: $o) { nodes { id } } }",
    "query { viewer @skp(if: true) { user { id } } }",
    "query { teamDashboard(range: { nmed: TODAY }) { from } }",
    "mutation { invteUser(input: {}) { user { id } } }",
]


def test_field_suggestions(target: Target, hardened: Target) -> None:
    """Where the schema may be asked for, a suggestion tells nothing more; where it may not, none is made."""
    assert "Did you mean" in json.dumps(ask(target, SUGGESTING[1]))
    for document in SUGGESTING:
        told = json.dumps(ask(hardened, document))
        assert "Did you mean" not in told, told
        assert "did you mean" not in told.lower(), told
    variables = [
        ("query($o: UserOrder) { users(orderBy: $o) { nodes { id } } }", {"o": "NAM"}),
        ("query($f: UserFilter) { users(filter: $f) { nodes { id } } }", {"f": {"serch": "x"}}),
        ("query($r: RangeInput!) { teamDashboard(range: $r) { from } }", {"r": {"named": "TODY"}}),
        ("subscription($f: GoalFilter) { goalEvents(filter: $f) { type } }", {"f": {"metric": []}}),
    ]
    for document, given in variables:
        for accept in ("application/json", "text/event-stream"):
            answer = httpx.post(
                f"{hardened.url}/graphql",
                json={"query": document, "variables": given},
                headers=hardened.admin.bearer | {"accept": accept},
                timeout=60,
            )
            assert "errors" in answer.text
            assert "did you mean" not in answer.text.lower(), answer.text


def test_graphql_ide(target: Target, hardened: Target) -> None:
    """GraphiQL is a switch."""
    words = ("graphiql.min.css", "GraphQL Playground", "GraphiQL", "graphql-playground")
    html = {"accept": "text/html"}
    shown = httpx.get(f"{target.url}/graphql", headers=html)
    assert any(word in shown.text for word in words)
    places = (
        "/graphiql",
        "/playground",
        "/console",
        "/graphql",
        "/graphql/static/index.html",
        "/graphql/static/csp.txt",
    )
    for place in places:
        answer = httpx.get(hardened.url + place, headers=html)
        assert answer.status_code == 404, place
        assert target.judge(answer.status_code, answer.text, refused=True)
        assert not any(word in answer.text for word in words[:2])


def test_introspection(target: Target, hardened: Target) -> None:
    """Introspection is a switch."""
    document = "query { __schema { types { name fields { name } } } }"
    assert len(ask(target, document, refused=False)["data"]["__schema"]["types"]) > 25
    for hidden in (
        document,
        'query { __type(name: "User") { name } }',
        "query { viewer { ...f } } fragment f on Viewer { x: __schema }",
    ):
        assert "data" not in ask(hardened, hidden)


def test_trace_mode(target: Target) -> None:
    for document, refused in (("query { __typename }", False), ("query { nothing }", True)):
        told = json.dumps(ask(target, document, refused=refused)).lower()
        assert not [word for word in ("tracing", '"exception"', "stacktrace", '"debug"') if word in told], told


def test_unhandled_errors_detection(target: Target) -> None:
    (error,) = ask(target, "qwerty cop { abc }")["errors"]
    assert "exception" not in error["extensions"]
    assert error["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
