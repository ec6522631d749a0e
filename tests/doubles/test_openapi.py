"""The helper that holds doubles against vendors' descriptions refuses what it should.

Invariants:
A. A request or an answer passes only as the description has it: path, method, parameters, body, status, schema, format.
B. Nulls pass where they are described or named, and nowhere else; properties that are not described do not.
C. The ways of published descriptions ($href, an empty type, parameters without a schema) are read past.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.doubles.openapi import Description, Undescribed

_DOCUMENT: dict[str, Any] = {
    "openapi": "3.0.1",
    "paths": {
        "/things": {
            "get": {
                "parameters": [
                    {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1}},
                    {"name": "ids", "in": "query", "schema": {"type": "array", "items": {"type": "integer"}}},
                    {"name": "all", "in": "query", "required": True, "schema": {"type": "boolean"}},
                    {"name": "updated_at", "in": "query"},
                ],
                "responses": {
                    "200": {"content": {"application/json": {"schema": {"$href": "#/components/schemas/Thing"}}}},
                    "4XX": {"$ref": "#/components/responses/Error"},
                },
            },
            "post": {
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}},
                },
                "responses": {"204": {"description": "nothing"}},
            },
        },
        "/things/{id}": {"get": {"responses": {"200": {"content": {"*/*": {"schema": {"type": "string"}}}}}}},
        "/things/new": {"get": {"responses": {"200": {"content": {"*/*": {"schema": {"type": "integer"}}}}}}},
        "/forms": {
            "post": {"parameters": [{"name": "name", "in": "formData"}], "responses": {"default": {"description": ""}}}
        },
    },
    "components": {
        "responses": {"Error": {"content": {"application/json": {"schema": {"type": "object"}}}}},
        "schemas": {
            "Thing": {
                "type": "object",
                "required": ["id"],
                "properties": {
                    "id": {"type": "integer", "format": "int32"},
                    "at": {"type": "string", "format": "date-time", "nullable": True},
                    "day": {"type": "string", "format": "date"},
                    "key": {"type": "string", "format": "uuid"},
                    "odd": {"type": ""},
                    "share": {"type": "number", "minimum": 0, "exclusiveMinimum": True},
                    "values": {"type": "object", "additionalProperties": {"type": "string"}},
                    "kind": {"type": "string", "enum": ["a", "b"]},
                    "parent": {"$ref": "#/components/schemas/Thing"},
                    "both": {
                        "allOf": [
                            {"type": "object", "properties": {"x": {"type": "integer"}}},
                            {"type": "object", "properties": {"y": {"type": "integer"}}},
                        ]
                    },
                },
            }
        },
    },
}
_PLAIN = Description(_DOCUMENT)
_NULLED = Description(_DOCUMENT, nulls={"Thing.values.*", "Thing.parent"})


@pytest.mark.parametrize(
    "value",
    [
        {"id": 1},
        {"id": 1, "at": None},
        {"id": 1, "at": "2026-11-25T10:00:00.123Z", "day": "2026-11-25", "share": 0.5, "kind": "a", "odd": [1]},
        {"id": 1, "key": "aeb5f871-7f07-4993-9211-075dc63e7cbf", "values": {"a": "b"}, "parent": {"id": 2}},
        {"id": 1, "both": {"x": 1, "y": 2}},
    ],
)
def test_what_is_described_passes(value: Any) -> None:
    """A, C."""
    _PLAIN.component("Thing", value)
    _PLAIN.response("GET", "/things", 200, value)
    _PLAIN.request("POST", "/things", [], value)


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"id": "1"},
        {"id": 2**31},
        {"id": 1, "more": 1},
        {"id": 1, "day": None},
        {"id": 1, "day": "25.11.2026"},
        {"id": 1, "at": "2026-11-25T10:00:00"},
        {"id": 1, "key": "none"},
        {"id": 1, "share": 0},
        {"id": 1, "kind": "c"},
        {"id": 1, "values": {"a": None}},
        {"id": 1, "parent": {"id": None}},
        {"id": 1, "both": {"x": "one"}},
        [],
    ],
)
def test_what_is_not_described_does_not(value: Any) -> None:
    """A, B."""
    for check in (
        lambda: _PLAIN.component("Thing", value),
        lambda: _PLAIN.response("GET", "/things", 200, value),
        lambda: _PLAIN.request("POST", "/things", [], value),
    ):
        with pytest.raises(Undescribed):
            check()


def test_nulls_pass_where_they_are_named() -> None:
    """B."""
    _NULLED.component("Thing", {"id": 1, "values": {"a": None}, "parent": None})
    with pytest.raises(Undescribed):
        _NULLED.component("Thing", {"id": 1, "day": None})
    Description(_DOCUMENT, nulls=True).component("Thing", {"id": None, "day": None})
    Description(_DOCUMENT, closed=False).component("Thing", {"id": 1, "more": 1})


def test_parameters() -> None:
    """A, C."""
    _PLAIN.request("get", "/things", [("all", "true"), ("limit", "2"), ("ids", "1,2"), ("updated_at[gt]", "x")])
    _PLAIN.request("GET", "/things", [("all", "false"), ("ids", "1"), ("ids", "2")])
    for query in (
        [],
        [("all", "yes")],
        [("all", "true"), ("limit", "0")],
        [("all", "true"), ("limit", "many")],
        [("all", "true"), ("ids", "1,b")],
        [("all", "true"), ("page", "1")],
    ):
        with pytest.raises(Undescribed):
            _PLAIN.request("GET", "/things", query)
    Description(_DOCUMENT, parameters=("page",)).request("GET", "/things", [("all", "true"), ("page", "1")])


def test_paths_statuses_and_bodies() -> None:
    """A."""
    assert _PLAIN.describes("GET", "/things/7")
    assert not _PLAIN.describes("DELETE", "/things/7")
    assert not _PLAIN.describes("GET", "/things/7/8")
    _PLAIN.response("GET", "/things/7", 200, "seven")
    _PLAIN.response("GET", "/things/new", 200, 7)
    _PLAIN.response("GET", "/things", 404, {})
    _PLAIN.response("POST", "/things", 204, None)
    _PLAIN.request("POST", "/forms", [], {"name": "x"})
    for check in (
        lambda: _PLAIN.response("GET", "/things/new", 200, "seven"),
        lambda: _PLAIN.response("GET", "/things", 500, {}),
        lambda: _PLAIN.response("POST", "/things", 204, {"id": 1}),
        lambda: _PLAIN.response("GET", "/nothing", 200, {}),
        lambda: _PLAIN.request("POST", "/things"),
        lambda: _PLAIN.request("POST", "/forms", [], {"surname": "x"}),
    ):
        with pytest.raises(Undescribed):
            check()
