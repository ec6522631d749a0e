"""The names that erased people went by, known by keyed digests alone.

A system that still has an erased person's records hands them in again and again. Their names are not known any more, so
that the records would wait in quarantine, whole. To refuse them without keeping anything, each name by which importers
may call a person (email addresses, ids in connected systems) is kept as HMAC-SHA-256 under a key of the team's, which
lies sealed by the installation's keys (`SIDELINE_SECRET_KEYS`): the tables alone do not tell whether a guessed address
is among them. The case of a name and space around it do not count.

While an erasure is under way, display names are kept likewise: by them it finds texts that name the person.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from domain import bodies
from domain.models.base import new_id

if TYPE_CHECKING:
    from domain.database import Connection

KEY_BYTES = 32

# Pieces, not matches: a pattern that looks for an address would try again from each letter of a long word.
_BETWEEN_WORDS = re.compile(r"[\s\"'<>,;:()\[\]{}\\|=]+")
_BETWEEN_CELLS = re.compile(r'[,;\t|"]')


class NameKey:
    """Makes digests of names.

    Args:
        key: The team's.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def name(self, name: str) -> bytes:
        """The digest of a name that importers may use."""
        return self._digest(b"name\0", name)

    def display_name(self, name: str) -> bytes:
        """The digest of what people call the person."""
        return self._digest(b"display\0", name)

    def _digest(self, kind: bytes, name: str) -> bytes:
        return hmac.digest(self._key, kind + name.strip().lower().encode("utf-8", "surrogatepass"), "sha256")


async def read_key(connection: Connection, team_id: UUID) -> NameKey | None:
    """A team's key; None while nobody has been erased.

    Raises:
        Unavailable: the installation's key that sealed it is not set.
    """
    sealed = await connection.fetchval("SELECT erasure_key FROM teams WHERE id = $1", team_id)
    return None if sealed is None else NameKey(_box().open(sealed))


async def make_key(connection: Connection, team_id: UUID) -> NameKey:
    """A team's key, made if there is none. The caller holds the team's lock.

    Raises:
        Unavailable: no key of the installation's is set, or not the one that sealed it.
    """
    found = await read_key(connection, team_id)
    if found is not None:
        return found
    key = secrets.token_bytes(KEY_BYTES)
    await connection.execute("UPDATE teams SET erasure_key = $2 WHERE id = $1", team_id, _box().seal(key))
    return NameKey(key)


def _box() -> Any:
    return bodies.installation_keys("Names of erased people are kept as keyed digests")


async def keep(
    connection: Connection, key: NameKey, team_id: UUID, user_id: UUID, names: Iterable[str], display: Iterable[str]
) -> None:
    """Remember the names of a person; the display names until `forget_display_names`."""
    digests = {key.name(name): False for name in names if name.strip()}
    digests |= {key.display_name(name): True for name in display if name.strip()}
    await connection.execute(
        """
        INSERT INTO erased_names (id, team_id, user_id, digest, passing)
        SELECT n.id, $1, $2, n.digest, n.passing FROM unnest($3::uuid[], $4::bytea[], $5::boolean[])
            n (id, digest, passing)
        ON CONFLICT DO NOTHING
        """,
        team_id,
        user_id,
        [new_id() for _ in digests],
        list(digests),
        list(digests.values()),
    )


async def forget_display_names(connection: Connection, team_id: UUID, user_id: UUID) -> None:
    """The erasure is done: somebody else of the same name is not meant."""
    await connection.execute(
        "DELETE FROM erased_names WHERE team_id = $1 AND user_id = $2 AND passing", team_id, user_id
    )


async def find_erased(connection: Connection, team_id: UUID, names: Iterable[str]) -> frozenset[str]:
    """Those of some names that are an erased person's. Served by erased_names_digest_key.

    Raises:
        Unavailable: the installation's key that sealed the team's is not set.
    """
    wanted = list(names)
    key = await read_key(connection, team_id) if wanted else None
    if key is None:
        return frozenset()
    digests = {name: key.name(name) for name in wanted}
    known = await _known(connection, team_id, digests.values())
    return frozenset(name for name, digest in digests.items() if digest in known)


async def _known(connection: Connection, team_id: UUID, digests: Iterable[bytes]) -> frozenset[bytes]:
    rows = await connection.fetch(
        "SELECT digest FROM erased_names WHERE team_id = $1 AND digest = ANY ($2::bytea[]) AND NOT passing",
        team_id,
        list(set(digests)),
    )
    return frozenset(bytes(row["digest"]) for row in rows)


async def naming(connection: Connection, team_id: UUID, texts: Sequence[str], *, documents: bool = False) -> list[bool]:
    """Which of some texts name an erased person: records as they came, or a vendor's documents.

    Raises:
        Unavailable: the installation's key that sealed the team's is not set.
    """
    key = await read_key(connection, team_id) if texts else None
    if key is None:
        return [False] * len(texts)
    names = names_in_document if documents else names_in
    digests = [frozenset(key.name(name) for name in names(text)) for text in texts]
    known = await _known(connection, team_id, frozenset().union(*digests))
    return [not known.isdisjoint(one) for one in digests]


class Search:
    """Finds texts that name one person.

    Args:
        key: The team's.
        digests: The person's.
    """

    def __init__(self, key: NameKey, digests: frozenset[bytes]) -> None:
        self._key = key
        self._digests = digests

    def finds(self, text: str) -> bool:
        """Whether a record as it came names the person."""
        return self._finds(names_in(text), text)

    def finds_in_document(self, text: str) -> bool:
        """Whether a vendor's document names the person."""
        return self._finds(names_in_document(text), text)

    def finds_address(self, text: str) -> bool:
        """Whether JSON holds an address or the whole display name of the person; not ids, which may be any number."""
        return self._finds(addresses_in(text), text)

    def _finds(self, names: Iterable[str], text: str) -> bool:
        return any(self._key.name(name) in self._digests for name in names) or any(
            self._key.display_name(string) in self._digests for string in strings_in(text)
        )


async def search_for(connection: Connection, team_id: UUID, user_id: UUID) -> Search | None:
    """What finds a person; None where no name of theirs is known.

    Raises:
        Unavailable: the installation's key that sealed the team's is not set.
    """
    key = await read_key(connection, team_id)
    rows = await connection.fetch(
        "SELECT digest FROM erased_names WHERE team_id = $1 AND user_id = $2", team_id, user_id
    )
    if key is None or not rows:
        return None
    return Search(key, frozenset(bytes(row["digest"]) for row in rows))


def names_in(text: str) -> Iterator[str]:
    """What may be the name of a person in a record as it came: its field `user`, and addresses anywhere.

    Where there is no such field, any value of it may be meant; of what is no JSON, any piece.
    """
    yield from addresses_in(text)
    user = user_of(text)
    if user is not None:
        yield user
    else:
        yield from strings_in(text)


def names_in_document(text: str) -> Iterator[str]:
    """What may be the name of a person in a vendor's document: any value, and addresses anywhere."""
    yield from addresses_in(text)
    yield from strings_in(text)


def user_of(text: str) -> str | None:
    """The field `user` of a record as it came, if it is one and has it."""
    record = _parsed(text)
    user = record.get("user") if isinstance(record, Mapping) else None
    return str(user) if isinstance(user, str | int) and not isinstance(user, bool) else None


def strings_in(text: str) -> Iterator[str]:
    """Every string and number of JSON; of what is none, every piece."""
    found = _parsed(text)
    yield from _pieces(text) if found is None else _values(found)


def addresses_in(text: str) -> Iterator[str]:
    """Email addresses, also such as are written with escapes."""
    found = _parsed(text)
    for string in _pieces(text) if found is None else _values(found):
        yield from (word.strip(".!?") for word in _BETWEEN_WORDS.split(string) if "@" in word)


def _parsed(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def _values(found: Any) -> Iterator[str]:
    """Every string and number of JSON, however deep."""
    waiting = [found]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, int) and not isinstance(value, bool):
            yield str(value)
        elif isinstance(value, Mapping):
            waiting += [*value, *value.values()]
        elif isinstance(value, list):
            waiting += value


def _pieces(text: str) -> Iterator[str]:
    """The pieces of a line that is no JSON: what stands between quotes or separators."""
    for piece in _BETWEEN_CELLS.split(text):
        unescaped = _parsed(f'"{piece}"') if "\\" in piece else None
        yield unescaped if isinstance(unescaped, str) else piece
