"""Rows as CSV and NDJSON, gzip in parts, standings, and files made by jobs.

Invariants:
A. A CSV reader gets back every text, number and instant; null and empty text differ in the file; no text is a formula.
B. Parts of gzip, made one after the other from nothing but a checksum and a length, are one gzip file.
C. A standing holds an earlier one if and only if nothing of it is gone.
D. A job that is killed at any point and goes on elsewhere makes the very bytes that it would have made.
E. Rights are read before each piece: what is lost ends the file, what is gained is not in it.
F. A file lies sealed, is nobody's but who asked for it, and goes with its time, with its deletion, and with an erasure.
G. Memory does not grow with the rows.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from functools import partial
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import bodies, erasure, ingest, jobs, retention
from domain.access import GoalSight, Sight, Viewer
from domain.database import ALL_TEAMS, acquire, in_transaction
from domain.errors import Conflict, Forbidden, Invalid, NotFound
from domain.exports import files
from domain.exports.columns import ABSENT, NO_OBJECT, Chosen, Column, ColumnKind, choose
from domain.exports.formats import CsvWriter, GzipParts, NdjsonWriter, decimal_text, guarded, unguarded
from domain.exports.reading import RightsLost, order_of, pieces
from domain.exports.standing import Standing
from domain.jobs import ClaimedJob, LeaseLost
from domain.models import Export, JobState
from domain.models.base import new_id
from domain.models.people import Permission
from domain.records import decode_mapping
from tests.factories import make_group, make_role, make_team, make_user, viewer_of

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)

# PostgreSQL's texts hold no NUL and no half of a pair.
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
formulas = st.builds(
    lambda head, tail: head + tail, st.sampled_from(["=", "+", "-", "@", "\t", "\r", "'=", "''@"]), texts
)
cells = st.tuples(
    st.none() | texts | formulas,
    st.none() | st.integers(-(2**63), 2**63 - 1),
    st.none() | st.decimals(allow_nan=False, allow_infinity=False, places=4),
    st.none() | st.booleans(),
    st.none() | st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=-5))])),
    st.none() | st.dates(),
    st.none() | st.floats(allow_nan=False, allow_infinity=False),
)
KINDS = (
    ColumnKind.STRING,
    ColumnKind.INT,
    ColumnKind.DECIMAL,
    ColumnKind.BOOLEAN,
    ColumnKind.DATETIME,
    ColumnKind.DATE,
    ColumnKind.FLOAT,
)


def columns_of(*kinds: ColumnKind) -> Chosen[Any]:
    return Chosen(tuple(Column(f"c{number}", kind, lambda row: row) for number, kind in enumerate(kinds)))


@given(st.lists(cells, max_size=5))
def test_a_csv_reader_gets_everything_back(rows: list[tuple[Any, ...]]) -> None:
    chosen = columns_of(*KINDS)
    writer = CsvWriter(chosen)
    text = (writer.head() + writer.rows(rows)).decode()
    found = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    assert found[0] == list(chosen.names)
    assert len(found) == len(rows) + 1
    for cells_read, (word, number, amount, truth, instant, day, share) in zip(found[1:], rows, strict=True):
        assert not cells_read[0].startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
        assert unguarded(cells_read[0]) == (word or "")
        assert cells_read[1] == ("" if number is None else str(number))
        assert (Decimal(cells_read[2]) if cells_read[2] else None) == amount
        assert "E" not in cells_read[2].upper()
        assert cells_read[3] == {None: "", True: "true", False: "false"}[truth]
        assert (datetime.fromisoformat(cells_read[4]) if cells_read[4] else None) == instant
        assert (date.fromisoformat(cells_read[5]) if cells_read[5] else None) == day
        assert (float(cells_read[6]) if cells_read[6] else None) == share


@given(texts | formulas)
def test_a_guard_is_taken_off_again(text: str) -> None:
    assert unguarded(guarded(text)) == text
    assert (guarded(text) != text) == bool(text.lstrip("'")[:1] and text.lstrip("'")[0] in "=+-@\t\r\n＝＋－＠")


def test_cells_as_they_are_written() -> None:
    writer = CsvWriter(columns_of(*KINDS))
    row = ["", -5, Decimal("-1E+3"), False, datetime(2026, 3, 1, tzinfo=UTC), date(2026, 3, 1), -0.5]
    assert writer.rows([row]) == b'"",-5,-1000,false,2026-03-01T00:00:00+00:00,2026-03-01,-0.5\r\n'
    assert writer.rows([[None] * 7]) == b",,,,,,\r\n"
    assert writer.rows([["=1+1", ABSENT, NO_OBJECT, None, None, None, None]]) == b"'=1+1,,,,,,\r\n"
    assert CsvWriter(columns_of(ColumnKind.STRING), guard=False).rows([['=a,"b"']]) == b'"=a,""b"""\r\n'
    # One column: readers pass over empty lines.
    assert CsvWriter(columns_of(ColumnKind.STRING)).rows([[None], [""]]) == b'""\r\n""\r\n'
    assert CsvWriter(columns_of(ColumnKind.JSON)).rows([[{"a": [1]}]]) == b'"{""a"":[1]}"\r\n'


def test_ndjson_nests_as_graphql_does() -> None:
    names = ("id", "user.id", "user.name", "manager.id", "manager.name", "kind", "metrics.A.value", "metrics.B.value")
    chosen = Chosen(tuple(Column(name, ColumnKind.STRING, lambda row: row) for name in names))
    line = NdjsonWriter(chosen).rows([["1", "2", "Ada", NO_OBJECT, NO_OBJECT, ABSENT, Decimal("0.50"), None]])
    assert json.loads(line) == {
        "id": "1",
        "user": {"id": "2", "name": "Ada"},
        "manager": None,
        "metrics": {"A": {"value": "0.5"}, "B": {"value": None}},
    }
    assert [decimal_text(Decimal(one)) for one in ("-0", "1E+2", "0.10")] == ["0", "100", "0.1"]


@given(st.lists(st.binary(max_size=200), max_size=6))
def test_gzip_in_parts_is_one_file(parts: list[bytes]) -> None:
    packed, checksum, length = b"", 0, 0
    for part in parts:
        # Each part by a process that knows but these two numbers.
        packing = GzipParts(checksum, length)
        packed += packing.add(part)
        checksum, length = packing.checksum, packing.length
    packed += GzipParts(checksum, length).end()
    assert gzip.decompress(packed) == b"".join(parts)
    assert packed.count(b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff") >= 1


def test_fields_are_chosen_by_name_or_by_object() -> None:
    columns = [Column(name, ColumnKind.STRING, lambda row: row) for name in ("id", "user.id", "user.name")]
    columns.append(Column("body", ColumnKind.STRING, lambda row: row, chosen_only=True))
    assert choose(columns, None).names == ("id", "user.id", "user.name")
    assert choose(columns, ["body", "user", "id", "body"]).names == ("body", "user.id", "user.name", "id")
    with pytest.raises(Invalid, match=r"user\.nam.*user\.name"):
        choose(columns, ["user.nam"])
    with pytest.raises(Invalid):
        choose(columns, [])


@pytest.mark.parametrize(
    ("name", "arguments", "path"),
    [
        ("activities", {"filter": {"kinds": ["EMIAL"]}}, ("filter", "kinds")),
        ("activities", {"filter": {"from": "2026-01-01T00:00:00"}}, ("filter", "from")),
        ("activities", {"filters": {}}, ("arguments",)),
        ("individuals", {}, ("arguments",)),
        ("individuals", {"range": {"named": "THIS_WEEK", "to": 5}}, ("range", "to")),
        ("users", {"filter": {"active": "perhaps"}}, ("filter", "active")),
        ("nothing", {}, ("connection",)),
    ],
)
def test_what_does_not_fit_is_named(name: str, arguments: dict[str, Any], path: tuple[str, ...]) -> None:
    with pytest.raises((Invalid, NotFound)) as raised:
        order_of(name, "csv", None, arguments)
    assert raised.value.path == path


def random_standing(random: Random, team: UUID, ids: list[UUID]) -> Standing:
    def sight() -> Sight:
        if random.random() < 0.2:
            return Sight(team, True, frozenset())
        return Sight(team, False, frozenset(one for one in ids if random.random() < 0.7))

    return Standing(
        random.random() < 0.5,
        frozenset(str(one) for one in Permission if random.random() < 0.8),
        sight(),
        sight(),
        GoalSight(sight(), sight(), random.random() < 0.5),
    )


@given(st.integers(0, 2**32))
def test_a_standing_holds_what_it_has_not_lost(seed: int) -> None:
    random, team = Random(seed), new_id()
    ids = [new_id() for _ in range(3)]
    now, earlier = (random_standing(random, team, ids) for _ in range(2))
    everything = frozenset([*ids, UUID(int=1)])

    def flat(one: Standing) -> set[Any]:
        sights = (one.users, one.groups, one.goals.users, one.goals.groups)
        seen = {
            (place, x) for place, sight in enumerate(sights) for x in (everything if sight.everything else sight.ids)
        }
        return (
            seen | set(one.permissions) | ({"admin"} if one.admin else set()) | ({"team"} if one.goals.team else set())
        )

    assert now.holds(earlier) == (flat(now) >= flat(earlier))
    kept = json.loads(json.dumps(earlier.to_json()))
    assert Standing.of_json(team, kept) == earlier


class Firm:
    """A manager of a group with two reps, one in another group, an admin, and what they did."""

    async def open(self, emails: int = 30) -> Firm:
        async with acquire(ALL_TEAMS) as connection:
            self.team = await make_team(connection)
            self.east = await make_group(connection, self.team, "East")
            self.west = await make_group(connection, self.team, "West")
            self.manager_role = await make_role(
                connection, self.team, "TEAM_VIEW", "MANAGE_GOALS", "VIEW_EMAIL_CONTENT"
            )
            self.user_role = await make_role(connection, self.team)
            admin_role = await make_role(connection, self.team, is_admin=True, name="Admin")
            self.admin = await make_user(connection, self.team, admin_role, name="Admin")
            self.manager = await make_user(connection, self.team, self.manager_role, name="Mel", group_id=self.east)
            self.reps = [
                await make_user(
                    connection,
                    self.team,
                    self.user_role,
                    name=f"Rep {n}",
                    email=f"r{n}-{self.team.hex}@x.test",
                    group_id=g,
                )
                for n, g in enumerate((self.east, self.east, self.west))
            ]
        records = [
            {
                "kind": "email",
                "externalId": f"{number}",
                "user": f"r{number % 3}-{self.team.hex}@x.test",
                "occurredAt": (NOW - timedelta(hours=number)).isoformat(),
                "subject": f'=Subject {number}, "quoted"',
                "body": f"Body {number}\nof two lines",
            }
            for number in range(emails)
        ]
        outcome = await ingest.take_in(self.team, "test", [(n, decode_mapping(one)) for n, one in enumerate(records)])
        assert outcome.accepted == emails, outcome.errors
        return self

    async def viewer(self, user_id: UUID) -> Viewer:
        async with acquire(ALL_TEAMS) as connection:
            return await viewer_of(connection, user_id)

    async def change(self, statement: str, *arguments: object) -> None:
        async with acquire(ALL_TEAMS) as connection:
            await connection.execute(statement, *arguments)

    async def ask(self, user_id: UUID, name: str = "activities", format_name: str = "ndjson", **more: Any) -> Export:
        order = order_of(name, format_name, more.pop("fields", None), more)
        viewer = await self.viewer(user_id)
        made, _job = await in_transaction(
            self.team, partial(files.request_export, viewer=viewer, order=order, moment=NOW)
        )
        return made

    async def claim(self, export: Export, holder: str = "worker") -> ClaimedJob:
        async with acquire(ALL_TEAMS) as connection:
            # A holder that died: its lease is over.
            await connection.execute(
                "UPDATE jobs SET leased_until = now() - interval '1 s' WHERE leased_until IS NOT NULL"
            )
            job = await jobs.claim_job(connection, holder, job_id=export.job_id)
        assert job is not None
        return job

    async def bytes_of(self, export: Export, user_id: UUID) -> bytes:
        viewer, found = await self.viewer(user_id), b""
        while True:
            async with acquire(self.team) as connection:
                opened = await files.open_file(connection, viewer, export.id, datetime.now(UTC))
                if len(found) == opened.size:
                    return found
                found += await files.read_from(connection, opened, len(found))

    async def state(self, export: Export) -> Any:
        async with acquire(ALL_TEAMS) as connection:
            return await connection.fetchrow(
                "SELECT j.state, j.error, j.processed, j.total, e.rows, e.removed_because, e.secret, (SELECT count(*) "
                "FROM export_chunks c WHERE c.export_id = e.id) AS chunks "
                "FROM exports e JOIN jobs j ON j.id = e.job_id WHERE e.id = $1",
                export.id,
            )

    async def audited(self, action: str) -> int:
        async with acquire(ALL_TEAMS) as connection:
            return int(
                await connection.fetchval(
                    "SELECT count(*) FROM audit_entries WHERE team_id = $1 AND action = $2", self.team, action
                )
            )


@pytest.fixture
async def firm(database: str) -> Firm:
    return await Firm().open()


async def streamed(firm: Firm, user_id: UUID, name: str, format_name: str = "ndjson", **more: Any) -> bytes:
    order = order_of(name, format_name, more.pop("fields", None), more)
    return b"".join([piece.data async for piece in pieces(order, partial(firm.viewer, user_id), NOW)])


async def test_killed_at_each_piece_it_makes_the_same_bytes(firm: Firm, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = await firm.ask(firm.manager, fields=["id", "subject", "body", "bodyForbidden"])
    await files.run(await firm.claim(whole), lot_rows=4)
    told = await firm.audited("EMAIL_BODY_READ")
    assert told == 20, "each text of somebody else's is told once"
    broken = await firm.ask(firm.manager, fields=["id", "subject", "body", "bodyForbidden"])
    kept = files._keep_piece

    async def dies(*args: Any) -> None:
        await kept(*args)
        raise KeyboardInterrupt

    for _ in range(4):
        job = await firm.claim(broken)
        done = 0

        def changed() -> None:
            nonlocal done
            done += 1
            if done == 1:
                monkeypatch.setattr(files, "_keep_piece", dies)

        with pytest.raises(KeyboardInterrupt):
            await files.run(job, changed, lot_rows=4)
        monkeypatch.setattr(files, "_keep_piece", kept)
        assert (await firm.claim(broken, "other")).cursor
        with pytest.raises(LeaseLost):
            await files.run(job, lot_rows=4)
    await files.run(await firm.claim(broken), lot_rows=4)
    first, second = await firm.bytes_of(whole, firm.manager), await firm.bytes_of(broken, firm.manager)
    assert first == second
    assert gzip.decompress(first) == await streamed(
        firm, firm.manager, "activities", fields=["id", "subject", "body", "bodyForbidden"]
    )
    assert await firm.audited("EMAIL_BODY_READ") == told * 3
    state = await firm.state(broken)
    assert (state["state"], state["processed"], state["total"], state["rows"]) == ("SUCCEEDED", 20, 20, 20)


async def test_pieces_lie_sealed(firm: Firm) -> None:
    export = await firm.ask(firm.manager, fields=["body"])
    await files.run(await firm.claim(export))
    packed = await firm.bytes_of(export, firm.manager)
    async with acquire(ALL_TEAMS) as connection:
        stored = await connection.fetchval("SELECT data FROM export_chunks WHERE export_id = $1", export.id)
        secret = await connection.fetchval("SELECT secret FROM exports WHERE id = $1", export.id)
        assert packed not in stored
        assert secret is not None
        await bodies.reseal_secrets(connection)
    assert await firm.bytes_of(export, firm.manager) == packed
    await firm.change(
        "UPDATE export_chunks SET data = set_byte(data, 20, get_byte(data, 20) # 1) WHERE export_id = $1", export.id
    )
    with pytest.raises(Exception, match="was changed"):
        await firm.bytes_of(export, firm.manager)


LOSSES = {
    "a report moves away": ("UPDATE users SET group_id = NULL WHERE id = $1", "rep", RightsLost),
    "the role allows less": (
        "UPDATE roles SET permissions = '{TEAM_VIEW,MANAGE_GOALS}' WHERE id = $1",
        "role",
        RightsLost,
    ),
    "the role allows nothing": ("UPDATE users SET role_id = $2 WHERE id = $1", "demoted", RightsLost),
    "they leave": ("UPDATE users SET active = false WHERE id = $1", "manager", Forbidden),
}


@pytest.mark.parametrize("loss", LOSSES)
async def test_what_is_lost_on_the_way_ends_the_file(firm: Firm, loss: str) -> None:
    statement, what, error = LOSSES[loss]
    arguments: list[Any] = {
        "rep": [firm.reps[0]],
        "role": [firm.manager_role],
        "demoted": [firm.manager, firm.user_role],
        "manager": [firm.manager],
    }[what]
    export = await firm.ask(firm.manager)
    job = await firm.claim(export)

    class Stopped(Exception):
        pass

    def stop() -> None:
        raise Stopped

    with pytest.raises(Stopped):
        await files.run(job, stop, lot_rows=4)
    await firm.change(statement, *arguments)
    with pytest.raises(error):
        await files.run(await firm.claim(export), lot_rows=4)
    state = await firm.state(export)
    assert state["removed_because"].startswith("It could not be made")
    assert state["secret"] is None
    while await in_transaction(ALL_TEAMS, files.prune):
        pass
    assert (await firm.state(export))["chunks"] == 0


async def test_what_is_gained_on_the_way_is_not_in_it(firm: Firm) -> None:
    order = order_of("activities", "ndjson", ["user.name"], {})
    rows: list[str] = []
    async for piece in pieces(order, partial(firm.viewer, firm.manager), NOW, largest_lot=4):
        rows += [json.loads(line)["user"]["name"] for line in piece.data.splitlines()]
        await firm.change("UPDATE users SET group_id = $2 WHERE id = $1", firm.reps[2], firm.east)
    assert len(rows) == 20
    assert set(rows) == {"Rep 0", "Rep 1"}


async def test_a_stream_ends_with_its_rights(firm: Firm) -> None:
    order = order_of("activities", "csv", ["id"], {})
    source = pieces(order, partial(firm.viewer, firm.manager), NOW, largest_lot=4)
    assert (await anext(source)).rows == 4
    await firm.change("UPDATE users SET group_id = NULL WHERE id = $1", firm.reps[0])
    with pytest.raises(RightsLost):
        await anext(source)


async def test_a_file_is_given_while_its_rights_stand(firm: Firm) -> None:
    export = await firm.ask(firm.manager)
    with pytest.raises(Conflict, match="being made"):
        await firm.bytes_of(export, firm.manager)
    await files.run(await firm.claim(export))
    assert await firm.bytes_of(export, firm.manager)
    for other in (firm.admin, firm.reps[0]):
        with pytest.raises(NotFound):
            await firm.bytes_of(export, other)
    await firm.change("UPDATE users SET group_id = NULL WHERE id = $1", firm.reps[0])
    with pytest.raises(RightsLost):
        await firm.bytes_of(export, firm.manager)
    await firm.change("UPDATE users SET group_id = $2 WHERE id = $1", firm.reps[0], firm.east)
    assert await firm.bytes_of(export, firm.manager)
    viewer = replace(await firm.viewer(firm.manager), trusted_documents_only=True)
    async with acquire(firm.team) as connection:
        with pytest.raises(Forbidden):
            await files.open_file(connection, viewer, export.id, NOW)
    await firm.change("UPDATE exports SET expires_at = now() - interval '1 s' WHERE id = $1", export.id)
    with pytest.raises(NotFound, match="time is over"):
        await firm.bytes_of(export, firm.manager)
    await retention.forget_leftovers()
    async with acquire(ALL_TEAMS) as connection:
        assert not await connection.fetchval("SELECT count(*) FROM export_chunks WHERE export_id = $1", export.id)


async def test_deleted_it_is_gone_and_its_job_ends(firm: Firm) -> None:
    export = await firm.ask(firm.manager)
    job = await firm.claim(export)
    await in_transaction(firm.team, partial(files.delete, viewer=await firm.viewer(firm.manager), export_id=export.id))
    with pytest.raises(Conflict):
        await files.run(job)
    assert (await firm.state(export))["state"] == JobState.CANCELLED
    with pytest.raises(NotFound):
        await in_transaction(
            firm.team, partial(files.delete, viewer=await firm.viewer(firm.admin), export_id=export.id)
        )


async def test_no_more_than_a_few_at_once(firm: Firm) -> None:
    made = [await firm.ask(firm.manager) for _ in range(files.MOST_UNDER_WAY)]
    with pytest.raises(Conflict, match="under way"):
        await firm.ask(firm.manager)
    await firm.ask(firm.admin)
    await files.run(await firm.claim(made[0]))
    await firm.ask(firm.manager)


async def test_too_large_a_file_is_given_up(firm: Firm) -> None:
    export = await firm.ask(firm.admin)
    with pytest.raises(Invalid, match="more than 100 bytes"):
        await files.run(await firm.claim(export), limit_bytes=100)


async def test_an_erasure_takes_the_files_away(firm: Firm) -> None:
    done = await firm.ask(firm.manager, filter={"userId": None})
    await files.run(await firm.claim(done))
    under_way = await firm.ask(firm.manager)
    job = await firm.claim(under_way)
    admin = await firm.viewer(firm.admin)
    _user, erase_job = await in_transaction(
        firm.team, partial(erasure.erase_user, viewer=admin, user_id=firm.reps[0], now=NOW)
    )
    with pytest.raises(NotFound, match="erased"):
        await firm.bytes_of(done, firm.manager)
    with pytest.raises(Conflict, match="erased"):
        await files.run(job)
    async with acquire(ALL_TEAMS) as connection:
        claimed = await jobs.claim_job(connection, "worker", job_id=erase_job)
    assert claimed is not None
    await erasure.run(claimed)
    assert (await firm.state(done))["chunks"] == 0
    text = (await streamed(firm, firm.admin, "activities")).decode() + (
        await streamed(firm, firm.admin, "users")
    ).decode()
    assert "Rep 0" not in text
    assert text.count("Rep 1") == 11
    assert erasure.PLACEHOLDER in text


async def test_what_is_not_kept_any_more_is_not_exported(firm: Firm) -> None:
    before = (await streamed(firm, firm.admin, "activities")).splitlines()
    await firm.change("UPDATE teams SET keep_activities_days = 1 WHERE id = $1", firm.team)
    await retention.forget(retention.TeamRetention(firm.team, "UTC", 1, None, None), NOW + timedelta(days=1))
    after = (await streamed(firm, firm.admin, "activities")).splitlines()
    assert 0 < len(after) < len(before)
    assert after == before[: len(after)]


async def test_records_can_be_taken_in_again(firm: Firm) -> None:
    for format_name in ("ndjson", "csv"):
        text = await streamed(firm, firm.admin, "activityRecords", format_name)
        if format_name == "csv":
            rows = [
                {name: value for name, value in row.items() if value}
                for row in csv.DictReader(io.StringIO(text.decode(), newline=""))
            ]
            records = [decode_mapping(row, strings=True) for row in rows]
        else:
            records = [decode_mapping(json.loads(line)) for line in text.splitlines()]
        outcome = await ingest.take_in(firm.team, "test", list(enumerate(records)))
        assert (outcome.accepted, outcome.unchanged, outcome.errors) == (0, 30, ())


async def test_every_export_is_told(firm: Firm) -> None:
    await streamed(firm, firm.manager, "users")
    await firm.ask(firm.manager, "groups")
    assert await firm.audited("CONNECTION_EXPORTED") == 2
    viewer = replace(await firm.viewer(firm.manager), trusted_documents_only=True)

    async def bound() -> Viewer:
        return viewer

    with pytest.raises(Forbidden):
        await anext(pieces(order_of("users", "csv", None, {}), bound, NOW))
    assert await firm.audited("CONNECTION_EXPORTED") == 2


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is told by /proc")
async def test_memory_does_not_grow_with_the_rows(firm: Firm) -> None:
    """100,000 activities: what is held after the first tenth is held at the end."""
    await firm.change(
        """
        INSERT INTO activities (id, team_id, user_id, kind, occurred_at, source, external_id, name, bounced, open_count,
            body_stored)
        SELECT gen_random_uuid(), $1, $2, 'email', $3::timestamptz - n * interval '1 minute', 'bulk', n::text,
            repeat('s', 200), false, 0, false
        FROM generate_series(1, 100000) n
        """,
        firm.team,
        firm.reps[0],
        NOW,
    )
    order = order_of("activities", "csv", ["id", "user.email", "subject"], {"filter": {"kinds": ["EMAIL"]}})

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    rows = length = early = highest = 0
    async for piece in pieces(order, partial(firm.viewer, firm.admin), NOW):
        rows += piece.rows
        length += len(piece.data)
        highest = max(highest, resident())
        if rows <= 10_000:
            early = highest
    assert rows == 100_030
    assert highest - early < 12 * 2**20 < length / 2, (highest - early, length)
