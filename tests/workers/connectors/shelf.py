"""What the runner of syncs does with documents that are kept, in a few lines and without a database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import orjson

from domain.connectors import Cursor, CursorExpired, Document, MappingContext
from domain.records import RecordRefused
from tests.workers.connectors.session import TestSession, pull_all
from workers.connectors.base import Connector

OWNER, COLLEAGUE = "rep@double.test", "other@double.test"


def context_at(now: datetime, settings: Mapping[str, str] | None = None) -> MappingContext:
    """What a team of two, with a mail domain of its own, has its calendars mapped against."""
    return MappingContext(
        now=now,
        timezone="Europe/Berlin",
        currency="EUR",
        domains=frozenset({"double.test"}),
        owner=OWNER,
        members=frozenset({OWNER, COLLEAGUE}),
        mapping={},
        syncs=frozenset(),
        rate=lambda _currency, _day: None,
        settings=dict(settings or {}),
    )


class Shelf:
    """The documents of one connection, with what they came to.

    Args:
        connector: The connector.
        session: Its session; its clock is the mapping's too.
    """

    def __init__(self, connector: Connector, session: TestSession) -> None:
        self.connector = connector
        self.session = session
        self.cursor: Cursor | None = None
        self.documents: dict[tuple[str, str], Document] = {}
        self.states: dict[tuple[str, str], Any] = {}
        self.records: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
        self.refused: dict[tuple[str, str], RecordRefused] = {}

    async def sync(self) -> None:
        """A whole sync, begun anew if the vendor asks for it."""
        try:
            pages, self.cursor = await pull_all(self.connector, self.session, self.cursor)
        except CursorExpired:
            pages, self.cursor = await pull_all(self.connector, self.session, None)
        for place, page in enumerate(pages):
            if page.begins_full:
                named = {(one.object, one.id) for later in pages[place:] for one in later.documents if not one.deleted}
                self._forget(set(self.documents) - named)
            self._forget({(one.object, one.id) for one in page.documents if one.deleted})
            for document in page.documents:
                if not document.deleted:
                    self.documents[document.object, document.id] = document
        self.map()

    def map(self) -> None:
        """Map all documents, as they stand, at the session's clock."""
        for key, document in self.documents.items():
            kept = Document(document.object, document.id, orjson.loads(orjson.dumps(document.data)))
            try:
                mapped = self.connector.map(kept, context_at(self.session.now), self.states.get(key))
            except RecordRefused as refusal:
                self.refused[key] = refusal
                continue
            self.refused.pop(key, None)
            self.states[key] = orjson.loads(orjson.dumps(mapped.state))
            self.records[key] = [one for one in mapped.records if isinstance(one, Mapping)]

    @property
    def meetings(self) -> dict[str, Mapping[str, Any]]:
        """The records by external id."""
        return {one["externalId"]: one for records in self.records.values() for one in records}

    def _forget(self, keys: Iterable[tuple[str, str]]) -> None:
        for key in keys:
            for shelf in (self.documents, self.states, self.records, self.refused):
                shelf.pop(key, None)  # type: ignore[attr-defined]
