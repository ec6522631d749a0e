"""One request: who asks, what they sent, and what they know already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from starlette.requests import Request

from api.context import Context
from api.scim.documents import Projection, parse_projection
from api.scim.errors import Refusal
from api.scim.routes import PREFIX
from domain.errors import NotFound
from domain.ids import decode_any_id

BODY_LIMIT_BYTES = 2**20
DEEPEST_BODY = 12
"""Lists and objects within one another."""
LONGEST_LIST = 100
"""Values that an attribute of a person may have in a body, and operations of a PATCH of one."""
MOST_VALUES = 10
"""Values that an attribute of a person may have while a PATCH is worked at, whose time grows with their square."""
LONGEST_ECHO = 80
"""Characters that an error repeats of what was sent."""
_MEDIA_TYPES = frozenset({"application/scim+json", "application/json", ""})


@dataclass(frozen=True, slots=True)
class Call:
    """A request of somebody who may make it.

    Args:
        request: As it came.
        context: The viewer, the clock and the way to the database.
    """

    request: Request
    context: Context

    @property
    def base(self) -> str:
        """The address of the protocol's root, as the client wrote it."""
        return f"{str(self.request.base_url).rstrip('/')}{PREFIX}"

    def projection(self) -> Projection:
        """What of a resource the answer is to hold.

        Raises:
            Refusal: attributes and excludedAttributes are both given.
        """
        given = self.request.query_params
        return parse_projection(
            split_names(given.get("attributes", "")), split_names(given.get("excludedAttributes", ""))
        )

    async def body(self) -> dict[str, Any]:
        """The JSON object that came.

        Raises:
            Refusal: it is none, is too large, nests too deep, or holds null characters.
        """
        media_type = self.request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type not in _MEDIA_TYPES:
            raise Refusal(415, "content-type: application/scim+json or application/json.")
        data = bytearray()
        async for piece in self.request.stream():
            data += piece
            if len(data) > BODY_LIMIT_BYTES:
                raise Refusal(413, f"The body has more than {BODY_LIMIT_BYTES} bytes: send less at once.")
        try:
            body = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            raise Refusal(400, f"The body is no JSON: {error}.", "invalidSyntax") from error
        if not isinstance(body, dict):
            raise Refusal(400, "Send one JSON object.", "invalidSyntax")
        _require_plain(body, DEEPEST_BODY)
        return body

    def require_match(self, version: str) -> None:
        """Refuse a change of something that is not as the client thinks (RFC 7644, section 3.14).

        Raises:
            Refusal: `If-Match` names another version.
        """
        given = self.request.headers.get("if-match")
        if given is not None and not _names(given, version):
            raise Refusal(412, f"If-Match: it has changed since, to {version}: read it again.")

    def is_known(self, version: str) -> bool:
        """Whether the client has this version already, and asks for another one alone."""
        given = self.request.headers.get("if-none-match")
        return given is not None and _names(given, version)


def split_names(text: str) -> list[str]:
    """The names in a list with commas."""
    return [name for name in (part.strip() for part in text.split(",")) if name]


def decode_key(type_name: str, given: str) -> UUID:
    """The row behind an id in an address.

    Raises:
        NotFound: it is no id of such a thing.
    """
    decoded = decode_any_id(given) if given.isascii() else None
    if decoded is None or decoded[0] != type_name:
        raise NotFound(f"No such {type_name.lower()}.")
    return decoded[1]


def require_few(value: Any, longest: int) -> None:
    """Refuse lists of endless length, wherever in a body they are.

    Raises:
        Refusal: a list has more than `longest` values.
    """
    if isinstance(value, list) and len(value) > longest:
        raise Refusal(400, f"At most {longest} values in one list: send less at once.", "invalidValue")
    if isinstance(value, list | dict):
        for part in value.values() if isinstance(value, dict) else value:
            require_few(part, longest)


def _require_plain(value: Any, depth: int) -> None:
    if isinstance(value, str) and "\0" in value:
        raise Refusal(400, "A value holds a null character.", "invalidValue")
    if isinstance(value, list | dict):
        if depth == 0:
            raise Refusal(400, f"The body nests deeper than {DEEPEST_BODY}.", "invalidSyntax")
        for part in value.values() if isinstance(value, dict) else value:
            _require_plain(part, depth - 1)


def _names(given: str, version: str) -> bool:
    # Both are compared as weak: what we give is.
    opaque = version.removeprefix("W/")
    return any(one.strip() == "*" or one.strip().removeprefix("W/") == opaque for one in given.split(","))
