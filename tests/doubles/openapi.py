"""Holds requests and answers against a vendor's own OpenAPI 3.0 description of its API.

A double proves with it that it speaks as the vendor does, and that what a connector asks is what the vendor takes:

    DESCRIPTION = Description.load("salesloft-platform-openapi.json", nulls=True)
    DESCRIPTION.request("GET", "/v2/users.json", [("per_page", "100")])
    DESCRIPTION.response("GET", "/v2/me.json", 200, {"id": 1, "name": "A"})
    DESCRIPTION.component("User", {"id": 1, "name": "A"})  # one of a list whose envelope the vendor left undescribed

Everything that does not fit raises Undescribed, an AssertionError that names the place. The descriptions are copies in
tests/doubles/vendor/, so that the tests stand alone.

Published descriptions have their ways, which this reads past: `$href` for `$ref`, an empty `type`, parameters without a
schema, `formData`. What a vendor answers though its description does not say so (nulls, nearly always) is named by who
loads the description, so that each departure stands written somewhere.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Self

import orjson
from jsonschema_rs import Draft202012Validator

VENDOR = Path(__file__).parent / "vendor"


class Undescribed(AssertionError):
    """A request or an answer that the description does not have."""


class Description:
    """One OpenAPI 3.0 file, ready to check against.

    Args:
        document: The file.
        nulls: Where null comes though it is not described: `Component.property`, `Component.property.*` for the values
            of a map, `Component.property[]` for the items of a list. True for every property of everything.
        closed: Properties that are not described are refused, unless the description says that there may be more.
        parameters: Names of query parameters that every operation takes though it is not described.
    """

    def __init__(
        self,
        document: Mapping[str, Any],
        *,
        nulls: Collection[str] | bool = (),
        closed: bool = True,
        parameters: Collection[str] = (),
    ) -> None:
        self._document = document
        self._nulls = nulls
        self._parameters = parameters
        self._closed = closed
        schemas = document.get("components", {}).get("schemas", {})
        self._components = {name: self._converted(schema, name) for name, schema in schemas.items()}
        self._paths = sorted(
            ((_pattern(template), template) for template in document["paths"]), key=lambda pair: pair[1].count("{")
        )
        self._validators: dict[str, Draft202012Validator] = {}

    @classmethod
    def load(
        cls,
        name: str,
        *,
        nulls: Collection[str] | bool = (),
        closed: bool = True,
        parameters: Collection[str] = (),
    ) -> Self:
        """The description in tests/doubles/vendor/ of this name."""
        document = orjson.loads((VENDOR / name).read_bytes())
        return cls(document, nulls=nulls, closed=closed, parameters=parameters)

    def describes(self, method: str, path: str) -> bool:
        """Whether there is such an operation."""
        return self._operation(method, path) is not None

    def request(
        self, method: str, path: str, query: Iterable[tuple[str, str]] = (), body: Any = None, *, has_body: bool = False
    ) -> None:
        """Hold a request against its operation.

        Args:
            method: In any case.
            path: As it came, without the query.
            query: Every pair of the query, as text; a name may come more than once.
            body: The JSON that was sent, or the fields of a form.
            has_body: A body was sent, be it null; any other body than None counts as sent.

        Raises:
            Undescribed: it does not fit.
        """
        where = f"{method.upper()} {path}"
        operation, parameters = self._known(method, path)
        given: dict[str, list[str]] = {}
        for name, value in query:
            given.setdefault(name, []).append(value)
        described = {(one["in"], one["name"]): one for one in parameters}
        for name, values in given.items():
            base = name.split("[", 1)[0]
            parameter = described.get(("query", name)) or described.get(("query", base))
            if parameter is None:
                if base in self._parameters:
                    continue
                raise Undescribed(f"{where}: the parameter {name} is not described")
            if "schema" in parameter and base == name:
                self._fits(parameter["schema"], _read(values, parameter), f"{where}: the parameter {name}")
        for (place, name), parameter in described.items():
            if place == "query" and parameter.get("required") and name not in given:
                raise Undescribed(f"{where}: the parameter {name} is missing")
        form = {name for place, name in described if place == "formData"}
        content = self._resolved(operation.get("requestBody", {})).get("content", {})
        if body is None and not has_body:
            if self._resolved(operation.get("requestBody", {})).get("required"):
                raise Undescribed(f"{where}: a body is missing")
        elif content:
            self._fits(_json_schema(content), body, f"{where}: the body")
        elif not isinstance(body, Mapping) or not form >= set(body):
            raise Undescribed(f"{where}: the body is not described: {body!r}")

    def response(self, method: str, path: str, status: int, body: Any) -> None:
        """Hold an answer against its operation.

        Raises:
            Undescribed: it does not fit, or no answer of this status is described.
        """
        where = f"{status} of {method.upper()} {path}"
        operation, _ = self._known(method, path)
        responses = operation["responses"]
        for key in (str(status), f"{status // 100}XX", "default"):
            if key in responses:
                content = self._resolved(responses[key]).get("content", {})
                break
        else:
            raise Undescribed(f"{where}: the status is not described")
        if content:
            self._fits(_json_schema(content), body, where)
        elif body is not None:
            raise Undescribed(f"{where}: a body is not described: {body!r}")

    def component(self, name: str, value: Any) -> None:
        """Hold a value against a named schema.

        Raises:
            Undescribed: it does not fit.
        """
        self._fits({"$ref": f"#/components/schemas/{name}"}, value, name)

    def _known(self, method: str, path: str) -> tuple[Mapping[str, Any], list[Mapping[str, Any]]]:
        found = self._operation(method, path)
        if found is None:
            raise Undescribed(f"{method.upper()} {path} is not described")
        return found

    def _operation(self, method: str, path: str) -> tuple[Mapping[str, Any], list[Mapping[str, Any]]] | None:
        for pattern, template in self._paths:
            item = self._document["paths"][template]
            if pattern.fullmatch(path) and method.lower() in item:
                operation = item[method.lower()]
                both = [*item.get("parameters", ()), *operation.get("parameters", ())]
                return operation, [self._resolved(one) for one in both]
        return None

    def _resolved(self, node: Mapping[str, Any]) -> Mapping[str, Any]:
        """The node itself, or what it refers to."""
        reference = node.get("$ref") or node.get("$href")
        if reference is None:
            return node
        found: Any = self._document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part.replace("~1", "/").replace("~0", "~")]
        return self._resolved(found)

    def _fits(self, schema: Mapping[str, Any], value: Any, where: str) -> None:
        key = repr(schema)
        validator = self._validators.get(key)
        if validator is None:
            root = {**self._converted(schema, ""), "components": {"schemas": self._components}}
            validator = self._validators[key] = Draft202012Validator(root, validate_formats=True)
        if not validator.is_valid(value):
            errors = [
                f"{'.'.join(map(str, error.instance_path)) or 'it'}: {error.message}"
                for error in islice(validator.iter_errors(value), 3)
            ]
            raise Undescribed(f"{where}: {'; '.join(errors)}")

    def _converted(self, schema: Mapping[str, Any], at: str, *, branch: bool = False) -> dict[str, Any]:
        """A schema of OpenAPI 3.0 as one of JSON Schema 2020-12.

        Args:
            schema: What to convert.
            at: Where it is, as `nulls` names places.
            branch: It is one of several that hold together, so none of them can refuse what it does not know.
        """
        reference = schema.get("$ref") or schema.get("$href")
        if reference is not None:  # In OpenAPI 3.0 nothing beside a reference counts.
            return {"$ref": reference}
        known = {
            key: value
            for key, value in schema.items()
            if key in _KEPT and not (key == "type" and value == "") and value is not None
        }
        for bound in ("Minimum", "Maximum"):
            if schema.get(f"exclusive{bound}") is True and bound.lower() in known:
                known[f"exclusive{bound}"] = known.pop(bound.lower())
        if (bits := _INTEGER_BITS.get(known.get("format", ""))) is not None:
            known = {"minimum": -(2 ** (bits - 1)), "maximum": 2 ** (bits - 1) - 1} | known
        if "items" in schema:
            known["items"] = self._place(schema["items"], f"{at}[]")
        if properties := schema.get("properties"):
            known["properties"] = {name: self._place(one, f"{at}.{name}") for name, one in properties.items()}
        more = schema.get("additionalProperties")
        if isinstance(more, Mapping):
            known["additionalProperties"] = self._place(more, f"{at}.*")
        elif more is not None:
            known["additionalProperties"] = more
        elif properties and self._closed and not branch and "allOf" not in schema:
            known["additionalProperties"] = False
        for several in ("allOf", "oneOf", "anyOf"):
            if several in schema:
                inside = branch or several == "allOf"
                known[several] = [self._converted(one, at, branch=inside) for one in schema[several]]
        if "not" in schema:
            known["not"] = self._converted(schema["not"], at, branch=True)
        return _or_null(known) if schema.get("nullable") else known

    def _place(self, schema: Mapping[str, Any], at: str) -> dict[str, Any]:
        """The schema of a property or an item, with the nulls that are known of."""
        known = self._converted(schema, at)
        named = at in self._nulls if not isinstance(self._nulls, bool) else self._nulls and not at.endswith("[]")
        return _or_null(known) if named else known


_INTEGER_BITS = {"int32": 32, "int64": 64}
_KEPT = frozenset(
    "type enum format pattern required title minimum maximum multipleOf minLength maxLength minItems maxItems"
    " uniqueItems minProperties maxProperties".split()
)


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]} if schema else {}


def _pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"\{[^}]+\}", template)
    return re.compile("[^/]+".join(map(re.escape, parts)))


def _json_schema(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema of the JSON among the kinds of content."""
    for kind in ("application/json", "*/*", *content):
        if kind in content:
            schema: Mapping[str, Any] = content[kind].get("schema", {})
            return schema
    return {}


def _read(values: Sequence[str], parameter: Mapping[str, Any]) -> Any:
    """The value of a parameter out of its text, as its schema has it; text that cannot be read stays text."""
    schema = parameter["schema"]
    if schema.get("type") != "array":
        return _scalar(values[-1], schema.get("type"))
    several = parameter.get("explode", parameter.get("style", "form") == "form")
    items = values if several and len(values) > 1 else values[-1].split(",")
    return [_scalar(item, schema.get("items", {}).get("type")) for item in items]


def _scalar(text: str, kind: str | None) -> Any:
    if kind == "boolean" and text in ("true", "false"):
        return text == "true"
    try:
        if kind == "integer":
            return int(text)
        if kind == "number":
            return float(text)
    except ValueError:
        pass
    return text
