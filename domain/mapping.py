"""Mapping files: how a CSV file of somebody else's making becomes people and activity records.

A mapping is TOML and holds no code. `[fields]` says, for each field of a record, where it comes from:

    externalId = { column = "opportunity_id" }
    currency   = { constant = "USD" }
    name       = { template = "{account}: {product}" }
    createdOn  = { column = "engage_date", date = "%d-%m-%y" }
    won        = { column = "deal_stage", values = { Won = true, Lost = false } }
    amount     = { column = "close_value", when = { deal_stage = ["Won"] } }
    occurredAt = { column = "engage_date", date = "%d-%m-%y", instant = true, otherwise = "latest" }

An empty cell, and a value that `values` does not name, is an absent field. `instant` makes the start of that local day
of a date. `otherwise` stands in for an absent one; `latest` is the latest date that the file holds in any date column.

`[people]` says which columns of a second file name groups and users:

    file = "sales_teams.csv"
    group = "regional_office"
    email_domain = "example.test"
    users = [
      { column = "manager", role = "Manager", permissions = ["TEAM_VIEW"], rep = false },
      { column = "sales_agent", role = "User", manager = "manager" },
    ]
"""

from __future__ import annotations

import re
import string
import tomllib
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from domain import erased_names, teams
from domain.errors import Invalid
from domain.models.people import Permission
from domain.records import RecordRefused, decode_mapping
from domain.uploads import Entry

if TYPE_CHECKING:
    from domain.database import Connection

Row = Mapping[str, str]
NumberedRows = Iterable[tuple[int, dict[str, str]]]
LATEST = "latest"


class FieldRule(msgspec.Struct, forbid_unknown_fields=True):
    """Where one field of a record comes from."""

    column: str | None = None
    constant: str | bool | int | float | None = None
    template: str | None = None
    date: str | None = None
    instant: bool = False
    values: dict[str, str | bool | int] | None = None
    when: dict[str, list[str]] = {}
    otherwise: str | None = None


class UsersRule(msgspec.Struct, forbid_unknown_fields=True):
    """Which column names users, and what they are."""

    column: str
    role: str = teams.USER
    permissions: list[str] = []
    rep: bool = True
    manager: str | None = None


class PeopleRule(msgspec.Struct, forbid_unknown_fields=True):
    """Where groups and users come from."""

    file: str
    email_domain: str
    users: list[UsersRule]
    group: str | None = None


class MappingFile(msgspec.Struct, forbid_unknown_fields=True):
    """A mapping as it lies in its file."""

    kind: str
    fields: dict[str, FieldRule]
    timezone: str = "UTC"
    file: str | None = None
    people: PeopleRule | None = None


def load_mapping(path: Path) -> ActivityMapping:
    """Read a mapping file.

    Raises:
        Invalid: it is no mapping; the message names the place.
    """
    try:
        given = msgspec.convert(tomllib.loads(path.read_text()), MappingFile)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise Invalid(f"{path.name}: {error}.", path=(path.name,)) from error
    for name, rule in given.fields.items():
        ways = [way for way in (rule.column, rule.constant, rule.template) if way is not None]
        if len(ways) != 1:
            raise Invalid(f"{path.name}: fields.{name} needs exactly one of column, constant and template.")
        if rule.otherwise is not None and rule.date is None:
            raise Invalid(f"{path.name}: fields.{name}.otherwise is for dates: give `date` as well.")
    return ActivityMapping(given, ZoneInfo(given.timezone))


@dataclass
class ActivityMapping:
    """A mapping at work."""

    rules: MappingFile
    zone: ZoneInfo
    _columns: frozenset[str] = field(default=frozenset())

    def entries(self, rows: Callable[[], NumberedRows]) -> Iterator[Entry]:
        """The records of a CSV file.

        Args:
            rows: Brings the file's rows anew each time that it is called.

        Raises:
            Invalid: a column that the mapping names is not in the file.
        """
        latest = self._latest(rows()) if self._wants_latest() else None
        for number, row in rows():
            if not self._columns:
                self._check_columns(row)
            try:
                yield Entry(number, row, decode_mapping(self._record(row, latest)), None)
            except RecordRefused as refusal:
                yield Entry(number, row, None, refusal)

    def _wants_latest(self) -> bool:
        return any(rule.otherwise == LATEST for rule in self.rules.fields.values())

    def _check_columns(self, row: Row) -> None:
        self._columns = frozenset(row)
        for name, rule in self.rules.fields.items():
            wanted = {rule.column, *rule.when, *_template_columns(rule)} - {None}
            missing = sorted(str(column) for column in wanted - self._columns)
            if missing:
                raise Invalid(f"fields.{name}: the file has no column {', '.join(missing)}.", path=("fields", name))

    def _latest(self, rows: NumberedRows) -> date | None:
        dates = [rule for rule in self.rules.fields.values() if rule.date is not None and rule.column is not None]
        found: date | None = None
        for _number, row in rows:
            for rule in dates:
                text = row.get(rule.column or "", "").strip()
                day = _read_date(text, rule.date or "") if text else None
                if day is not None and (found is None or day > found):
                    found = day
        return found

    def _record(self, row: Row, latest: date | None) -> dict[str, Any]:
        record: dict[str, Any] = {"kind": self.rules.kind}
        for name, rule in self.rules.fields.items():
            value = self._value(name, rule, row, latest)
            if value is not None:
                record[name] = value
        return record

    def _value(self, name: str, rule: FieldRule, row: Row, latest: date | None) -> Any:
        if any(row.get(column, "").strip() not in allowed for column, allowed in rule.when.items()):
            return None
        if rule.constant is not None:
            return rule.constant
        if rule.template is not None:
            return rule.template.format_map({column: cell.strip() for column, cell in row.items()})
        text = row.get(rule.column or "", "").strip()
        if rule.values is not None:
            return rule.values.get(text)
        if rule.date is None:
            return text or None
        day = _read_date(text, rule.date) if text else None
        if text and day is None:
            raise RecordRefused("INVALID", name, f"{name}: {text!r} is no date of the form {rule.date}.")
        if day is None and rule.otherwise == LATEST:
            day = latest
        elif day is None and rule.otherwise is not None:
            day = _read_date(rule.otherwise, rule.date)
        if day is None:
            return None
        if rule.instant:
            return datetime.combine(day, time(), self.zone).isoformat()
        return day.isoformat()


def _read_date(text: str, form: str) -> date | None:
    try:
        return datetime.strptime(text, form).date()
    except ValueError:
        return None


def _template_columns(rule: FieldRule) -> set[str]:
    if rule.template is None:
        return set()
    return {name for _text, name, _form, _conversion in string.Formatter().parse(rule.template) if name}


def email_of(name: str, domain: str) -> str:
    """An email address made from a name: `Anna Snelling` becomes `anna.snelling@…`."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return f"{re.sub(r'[^a-z0-9]+', '.', plain).strip('.')}@{domain}"


async def create_people(connection: Connection, team_id: UUID, rule: PeopleRule, rows: Iterable[Row]) -> None:
    """Make the groups and users that a file names; who is there already stays as they are, who was erased stays away.

    Raises:
        Invalid: a permission does not exist.
    """
    people = list(rows)
    groups: dict[str, UUID] = {
        row["name"]: row["id"]
        for row in await connection.fetch("SELECT name, id FROM groups WHERE team_id = $1", team_id)
    }
    if rule.group is not None:
        for name in sorted({row[rule.group].strip() for row in people} - {""} - set(groups)):
            groups[name] = await teams.create_group(connection, team_id, name)
    users: dict[str, UUID] = {
        row["email"]: row["id"]
        for row in await connection.fetch("SELECT email, id FROM users WHERE team_id = $1", team_id)
    }
    for kind in rule.users:
        role_id = await _role(connection, team_id, kind)
        called = {row[kind.column].strip() for row in people}
        addresses = {email_of(name, rule.email_domain) for name in called}
        erased = await erased_names.find_erased(connection, team_id, called | addresses)
        for row in people:
            name = row[kind.column].strip()
            email = email_of(name, rule.email_domain)
            if not name or email in users or not erased.isdisjoint({name, email}):
                continue
            manager = email_of(row[kind.manager].strip(), rule.email_domain) if kind.manager else None
            users[email] = await teams.create_user(
                connection,
                team_id,
                name=name,
                email=email,
                role_id=role_id,
                group_id=groups.get(row[rule.group].strip()) if rule.group else None,
                manager_id=users.get(manager) if manager else None,
                is_rep=kind.rep,
                external_ids=[name],
            )


async def _role(connection: Connection, team_id: UUID, kind: UsersRule) -> UUID:
    found: UUID | None = await connection.fetchval(
        "SELECT id FROM roles WHERE team_id = $1 AND name = $2", team_id, kind.role
    )
    if found is not None:
        return found
    try:
        permissions = [Permission(name) for name in kind.permissions]
    except ValueError as error:
        raise Invalid(f"people.users.permissions: {error}; choose from {', '.join(Permission)}.") from error
    return await teams.create_role(connection, team_id, kind.role, permissions)
