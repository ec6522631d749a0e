"""What a connection is to exports: its columns, its arguments, and its pages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar
from uuid import UUID

import msgspec

from domain import people
from domain.access import Sight, Viewer
from domain.errors import Invalid
from domain.exports.columns import Chosen, Column, ColumnKind, within
from domain.exports.standing import Standing
from domain.identity import calendar_of
from domain.ids import decode_id, encode_id
from domain.models import User
from domain.paging import Page, PageRequest
from domain.periods import Calendar, Days, NamedRange, explicit_range, named_range

if TYPE_CHECKING:
    from domain.database import Connection

Row = TypeVar("Row")
Chosenby = TypeVar("Chosenby", bound=Enum)

PAGE_ROWS = 2_000
HEAVY_PAGE_ROWS = 200
"""Of rows that may hold long texts."""
WHOLE_LIST_ROWS = 20_000
"""Of lists whose order changes with every number: read at once, as long as a team is no larger."""
LONGEST_LIST = 1_000
"""Ids or names in one argument."""

Text = Annotated[str, msgspec.Meta(max_length=1_000, pattern=r"^[^\x00]*$")]
"""PostgreSQL's text holds no NUL."""
Texts = Annotated[list[Text], msgspec.Meta(max_length=LONGEST_LIST)]
Instant = Annotated[datetime, msgspec.Meta(tz=True)]


class NoArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel", omit_defaults=True):
    """A connection without arguments; the base of all others'."""


class RangeArgument(NoArguments, frozen=True):
    """Exactly one: a range by name, or both dates."""

    named: Text | None = None
    first: date | None = msgspec.field(default=None, name="from")
    last: date | None = msgspec.field(default=None, name="to")

    def days(self, look: Look) -> Days:
        """The days.

        Raises:
            Invalid: it is neither a name nor two dates, or the dates do not fit.
        """
        dates = self.first is not None or self.last is not None
        if self.named is not None and not dates:
            name = one_of(NamedRange, self.named, "range", "named")
            return named_range(name, look.calendar, look.calendar.today(look.moment))
        if self.named is None and self.first is not None and self.last is not None:
            return explicit_range(self.first, self.last)
        raise Invalid("range: give either named, or both from and to.", path=("range",))


@dataclass(frozen=True, slots=True)
class Look:
    """A look at the database: whose, with which rights.

    Args:
        connection: Inside a transaction.
        viewer: Who looks, as they stand now.
        standing: What they could see when the export began, all of which they can still see.
        moment: When the export began: what a named range and "today" mean.
    """

    connection: Connection
    viewer: Viewer
    standing: Standing
    moment: datetime

    @property
    def calendar(self) -> Calendar:
        """How the team counts days."""
        return calendar_of(self.viewer)


@dataclass(frozen=True, slots=True)
class Rows(Generic[Row]):
    """Some rows of a connection, in its order.

    Args:
        rows: The rows.
        cursor: Where the next ones begin; None when these are the last.
    """

    rows: Sequence[Row]
    cursor: str | None

    @classmethod
    def of(cls, page: Page[Any], rows: Sequence[Row]) -> Rows[Row]:
        """The rows that a page came to."""
        return cls(rows, page.cursors[-1] if page.has_next and page.cursors else None)


ReadRows = Callable[[Look, Any, PageRequest, Chosen[Any]], Awaitable[Rows[Any]]]
CountRows = Callable[[Look, Any], Awaitable[int]]


@dataclass(frozen=True, slots=True)
class Exportable:
    """A connection that can be exported.

    Args:
        name: What it is asked for by: the field of Query, or the field and what holds it.
        coordinate: The field in the schema; None for what GraphQL does not have.
        description: What its rows are.
        columns: All columns.
        arguments: The connection's own, but for those of paging.
        read: Some rows. Raises what the connection's query raises: it asks domain/access.py the same questions.
        count: How many rows there are, for progress.
        page_rows: How many are read at once.
        whole: Whether it is read at once whatever that takes, since its order changes with every number.
        heavy: Columns that may hold long texts.
        usual: Which columns are there unless they are chosen, where that hangs on the arguments.
        guard: Whether texts in CSV are kept from being formulas.
        keepable: Whether a job may make it into a file that is kept: not where who sees a row hangs on more than a
            `Standing` tells, such as who takes part in a session, so that no later download could be checked.
    """

    name: str
    coordinate: str | None
    description: str
    columns: tuple[Column[Any], ...]
    arguments: type[NoArguments]
    read: ReadRows
    count: CountRows
    page_rows: int = PAGE_ROWS
    whole: bool = False
    heavy: frozenset[str] = frozenset()
    usual: Callable[[Any], Callable[[str], bool]] = lambda _arguments: lambda _name: True
    guard: bool = True
    keepable: bool = True

    def rows_at_once(self, chosen: Chosen[Any]) -> int:
        """How many rows are read at once, with some columns."""
        return HEAVY_PAGE_ROWS if self.heavy.intersection(chosen.names) else self.page_rows


def one_of(kind: type[Chosenby], name: str, *path: str) -> Chosenby:
    """A member of an enumeration, by the name that GraphQL has for it.

    Raises:
        Invalid: there is none of this name.
    """
    found = kind.__members__.get(name)
    if found is None:
        raise Invalid(f"{'.'.join(path)}: choose of {', '.join(kind.__members__)}.", path=path)
    return found


def all_of(kind: type[Chosenby], names: Iterable[str] | None, *path: str) -> tuple[Chosenby, ...] | None:
    """The same for a list; None stays None."""
    return None if names is None else tuple(one_of(kind, name, *path) for name in names)


def row_id(given: str | None, type_name: str, *path: str) -> UUID | None:
    """The row of a global id; None for None.

    Raises:
        NotFound: it is no id of that type.
    """
    return None if given is None else decode_id(given, type_name, path=path)


def instant(given: datetime | None, *path: str) -> datetime | None:
    """An instant in UTC.

    Raises:
        Invalid: it lies beyond the calendar.
    """
    try:
        return None if given is None else given.astimezone(UTC)
    except OverflowError as error:
        raise Invalid(f"{'.'.join(path)}: give an instant of this calendar.", path=path) from error


def id_column(type_name: str, read: Callable[[Any], Any], name: str = "id") -> Column[Any]:
    """A column of global ids."""
    return Column(name, ColumnKind.ID, lambda row: _global(type_name, read(row)))


def _global(type_name: str, found: Any) -> Any:
    return encode_id(type_name, found) if isinstance(found, UUID) else found


def person_columns(name: str, read: Callable[[Any], User | None], *, email: bool = True) -> tuple[Column[Any], ...]:
    """A person of a row: id, name and, if wanted, email; null where there is none in sight."""
    shown: list[Column[Any]] = [
        Column(f"{name}.id", ColumnKind.ID, lambda row: within(read(row), lambda one: encode_id("User", one.id))),
        Column(f"{name}.name", ColumnKind.STRING, lambda row: within(read(row), lambda one: one.name)),
    ]
    if email:
        shown.append(Column(f"{name}.email", ColumnKind.STRING, lambda row: within(read(row), lambda one: one.email)))
    return tuple(shown)


async def users_of(look: Look, ids: Iterable[UUID | None], *, sight: Sight | None = None) -> dict[UUID | None, User]:
    """Users in sight, by their ids."""
    wanted = sorted({one for one in ids if one is not None})
    if not wanted:
        return {}
    found = await people.users_by_id(look.connection, sight or look.standing.users, wanted)
    return {user.id: user for user in found if user is not None}
