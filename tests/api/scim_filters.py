"""Filters made at random, each with what it means for a document: an oracle that knows neither parser nor SQL."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any

ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"

Document = dict[str, Any]
Meaning = Callable[[Any], bool]

_TEXT = {
    "eq": lambda have, want: have == want,
    "co": lambda have, want: want in have,
    "sw": lambda have, want: have.startswith(want),
    "ew": lambda have, want: have.endswith(want),
    "gt": lambda have, want: have > want,
    "ge": lambda have, want: have >= want,
    "lt": lambda have, want: have < want,
    "le": lambda have, want: have <= want,
}


@dataclass(frozen=True)
class Field:
    """What may be named: how it is written, what values a document has of it, and how they compare."""

    path: str
    values: Callable[[Any], list[Any]]
    kind: str = "text"


def at(*keys: str) -> Callable[[Any], list[Any]]:
    """The values at the end of some keys, through lists."""

    def found(document: Any) -> list[Any]:
        values = [document]
        for key in keys:
            parts = [part for value in values for part in (value if isinstance(value, list) else [value])]
            values = [part[key] for part in parts if key in part]
        return [part for value in values for part in (value if isinstance(value, list) else [value])]

    return found


USER_FIELDS = [
    Field("userName", at("userName")),
    Field("USERNAME", at("userName")),
    Field("urn:ietf:params:scim:schemas:core:2.0:User:displayName", at("displayName")),
    Field("displayName", at("displayName")),
    Field("externalId", at("externalId"), "exact"),
    Field("id", at("id"), "exact"),
    Field("name.givenName", at("name", "givenName")),
    Field("name.familyName", at("name", "familyName")),
    Field("name.formatted", at("name", "formatted")),
    Field("active", at("active"), "boolean"),
    Field("emails", at("emails", "value")),
    Field("emails.value", at("emails", "value")),
    Field("emails.type", at("emails", "type")),
    Field("emails.primary", at("emails", "primary"), "boolean"),
    Field("roles", at("roles", "value")),
    Field("roles.value", at("roles", "value")),
    Field("groups.value", at("groups", "value"), "exact"),
    Field("groups.display", at("groups", "display")),
    Field(f"{ENTERPRISE}:manager.value", at(ENTERPRISE, "manager", "value"), "exact"),
    Field("manager", at(ENTERPRISE, "manager", "value"), "exact"),
    Field("schemas", at("schemas")),
    Field("meta.resourceType", at("meta", "resourceType"), "exact"),
    Field("meta.created", at("meta", "created"), "time"),
    Field("meta.lastModified", at("meta", "lastModified"), "time"),
]
SELECTIONS = {
    "emails": [Field("value", at("value")), Field("type", at("type")), Field("primary", at("primary"), "boolean")],
    "roles": [Field("value", at("value"))],
    "groups": [Field("value", at("value"), "exact"), Field("display", at("display"))],
}
GROUP_FIELDS = [
    Field("displayName", at("displayName")),
    Field("externalId", at("externalId"), "exact"),
    Field("id", at("id"), "exact"),
    Field("members", at("members", "value"), "exact"),
    Field("members.value", at("members", "value"), "exact"),
    Field("members.type", at("members", "type")),
    Field("meta.created", at("meta", "created"), "time"),
]
GROUP_SELECTIONS = {"members": [Field("value", at("value"), "exact"), Field("type", at("type"))]}


class Filters:
    """Makes filters.

    Args:
        random: Where chance comes from.
        fields: What may be named.
        selections: What may be named in brackets, by the attribute before them.
        documents: Where values to look for come from.
    """

    def __init__(
        self, random: Random, fields: list[Field], selections: dict[str, list[Field]], documents: list[Document]
    ) -> None:
        self.random = random
        self.fields = fields
        self.selections = selections
        self.documents = documents

    def any(self, depth: int = 3) -> tuple[str, Meaning]:
        """A filter, and what it means."""
        return self._either(lambda: self._one(depth), depth)

    def _either(self, one: Callable[[], tuple[str, Meaning]], depth: int) -> tuple[str, Meaning]:
        """`a and b or c`, without parentheses: `and` binds closer."""
        ands = [[one() for _ in range(self.random.choice([1, 1, 2]))] for _ in range(self.random.choice([1, 1, 2]))]
        text = self._join(" or ", [self._join(" and ", [part for part, _ in terms]) for terms in ands])
        return text, lambda document: any(all(means(document) for _, means in terms) for terms in ands)

    def _join(self, joint: str, parts: list[str]) -> str:
        return self.random.choice([joint, joint.upper()]).join(parts)

    def _one(self, depth: int) -> tuple[str, Meaning]:
        choice = self.random.random() if depth else 1.0
        if choice < 0.15:
            text, means = self.any(depth - 1)
            return f"({text})", means
        if choice < 0.3:
            text, means = self.any(depth - 1)
            return self.random.choice(["not ({})", "NOT({})"]).format(text), lambda document: not means(document)
        if choice < 0.45:
            return self._selection(depth)
        return self._leaf(self.fields, self.documents)

    def _selection(self, depth: int) -> tuple[str, Meaning]:
        name = self.random.choice(sorted(self.selections))
        fields = self.selections[name]
        inside = [value for document in self.documents for value in document.get(name, [])]

        def one() -> tuple[str, Meaning]:
            text, means = self._leaf(fields, inside)
            if self.random.random() < 0.3:
                return f"not ({text})", lambda value: not means(value)
            return text, means

        text, means = self._either(one, depth)
        return f"{name}[{text}]", lambda document: any(means(value) for value in document.get(name, []))

    def _leaf(self, fields: list[Field], inside: list[Any]) -> tuple[str, Meaning]:
        field = self.random.choice(fields)
        if self.random.random() < 0.15:
            return f"{field.path} pr", lambda document: bool(field.values(document))
        if self.random.random() < 0.1:
            return self.random.choice(
                [
                    (f"{field.path} eq null", lambda document: not field.values(document)),
                    (f"{field.path} ne null", lambda document: bool(field.values(document))),
                ]
            )
        known = [value for document in inside for value in field.values(document)]
        wanted = self.random.choice(known) if known else "nothing"
        if field.kind == "boolean":
            wanted = self.random.choice([True, False])
            operator = self.random.choice(["eq", "ne"])
            return self._compared(field, operator, json.dumps(wanted), lambda have: have == wanted)
        if field.kind == "time":
            operator = self.random.choice(["eq", "ne", "gt", "ge", "lt", "le"])
            instant = datetime.fromisoformat(wanted) + timedelta(microseconds=self.random.choice([-1, 0, 0, 1]))
            test = _TEXT["eq" if operator == "ne" else operator]
            return self._compared(
                field, operator, f'"{instant.isoformat()}"', lambda have: test(datetime.fromisoformat(have), instant)
            )
        operator = self.random.choice([*_TEXT, "ne"])
        test = _TEXT["eq" if operator == "ne" else operator]
        text = self._part(wanted, operator)
        if field.kind == "exact":
            return self._compared(field, operator, json.dumps(text), lambda have: test(have, text))
        text = self.random.choice([text, text.upper(), text.lower()])
        return self._compared(field, operator, json.dumps(text), lambda have: test(have.lower(), text.lower()))

    def _part(self, text: str, operator: str) -> str:
        if operator in ("eq", "ne") and self.random.random() < 0.8:
            return text
        cut = self.random.randint(0, len(text))
        return {"sw": text[:cut], "ew": text[cut:]}.get(operator, text[cut : cut + 3])

    def _compared(self, field: Field, operator: str, value: str, test: Meaning) -> tuple[str, Meaning]:
        written = self.random.choice([operator, operator.upper()])
        text = f"{field.path} {written} {value}"
        if operator == "ne":
            return text, lambda document: not any(test(have) for have in field.values(document))
        return text, lambda document: any(test(have) for have in field.values(document))
