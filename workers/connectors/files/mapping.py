"""Lines and rows as records; they are records already."""

from __future__ import annotations

import msgspec

from domain.connectors import Document, Mapped
from domain.records import RecordRefused, decode_mapping
from workers.connectors.files.reading import is_fault


def map_document(document: Document) -> Mapped:
    """The record of a line, undecoded: whoever puts it into the tables reads it; of a row, with its text read as
    numbers and times.

    Raises:
        RecordRefused: it is none.
    """
    data = document.data
    if document.object == "line" and type(data) is bytes:
        return Mapped((data,))
    if is_fault(data):
        raise RecordRefused(str(data["code"]), None, str(data["message"]))
    if not isinstance(data, dict):
        raise RecordRefused("INVALID_JSON", None, "The line is not a JSON object.")
    if document.object == "line":
        return Mapped((data,))
    if "" in data:
        raise RecordRefused("INVALID", None, "The row has more cells than the header has names.")
    return Mapped((msgspec.json.encode(decode_mapping(data, strings=True)),))
