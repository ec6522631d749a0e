"""Erasing a person.

Invariants:
A. Afterwards no column of any table of the team holds the person's name, addresses, ids, subjects, bodies, token names
   or network address; before, the same search finds each of them.
B. All numbers stay, for every range, also after retention, a rebuild into another time zone, and back.
C. Whatever an importer brings of the person again, well-formed or not, is refused and leaves nothing behind.
D. A kill at any point, and a second run, end where an undisturbed run ends.
E. The audit chain verifies; the entry of the erasure has nothing but the id.
F. An Admin alone erases, not themselves, not the last Admin; asking twice is asking once.
G. What was on its way (a batch, an upload, a correction of what is not removed yet) brings nothing back and moves no
   number of the person's.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import (
    administration,
    audit,
    bodies,
    dashboards,
    erased_names,
    erasure,
    goal_evaluation,
    goals,
    imports,
    ingest,
    jobs,
    mapping,
    retention,
    rollups,
    team_settings,
    webhooks,
)
from domain.access import Sight, Viewer
from domain.audit import AuditFilter
from domain.dashboards import Audience, RankingRequest
from domain.database import ALL_TEAMS, acquire, in_transaction
from domain.errors import Conflict, Forbidden, Invalid, NotFound, Unavailable
from domain.goals import SetGoals, Subject
from domain.imports import ImportOptions
from domain.jobs import ClaimedJob, Postponed
from domain.mapping import PeopleRule, UsersRule
from domain.models import JobState
from domain.models.goals import GoalPeriod
from domain.models.tokens import TokenKind
from domain.paging import page_request
from domain.periods import Days
from domain.records import decode_json
from domain.retention import TeamRetention
from domain.secrets import SecretBox, make_key
from domain.tokens import create_token
from tests.conftest import TEST_KEY
from tests.domain.test_imports import as_csv, ndjson, run, upload
from tests.factories import make_group, make_role, make_team, make_user, viewer_of
from tests.oracle.traces import find_traces
from tests.records import SPAN_DAYS, START, random_record

ROOT = Path(__file__).parents[2]
NOW = START + timedelta(days=SPAN_DAYS)
ZONE = "America/New_York"

NAME, EMAIL, FORMER = "Ada Lovelace", "ada.lovelace@countess.test", "ada.byron@countess.test"
IDS = ("crm-ada-4711", "sf-ada-0815")
SUBJECT, BODY = "Analytical engine", "Note G computes Bernoulli numbers"
NEEDLES = (
    NAME, EMAIL, FORMER, *IDS, SUBJECT, "scim-ada-77", "ada.login", "The Countess", "Scarlet fever", "Ada phone",
    "ada-hook.test", "key-of-ada", "198.51.100.77", "Engine deal",
)  # fmt: skip


class Office:
    """A team in which Ada did much, and everything that remembers her."""

    async def open(self, size: int = 160) -> Office:
        async with acquire(ALL_TEAMS) as connection:
            self.team = await make_team(connection, timezone=ZONE)
            admin_role = await make_role(connection, self.team, is_admin=True, name="Admin")
            user_role = await make_role(connection, self.team, name="User")
            await connection.execute("UPDATE roles SET built_in = true WHERE id = $1", user_role)
            self.strong_role = await make_role(connection, self.team, "MANAGE_TEAM", "TEAM_VIEW", name="Strong")
            self.group = await make_group(connection, self.team, "North")
            self.admin = await viewer_of(connection, await make_user(connection, self.team, admin_role, name="Charles"))
            self.colleague_id = await make_user(
                connection, self.team, user_role, name="Grace", email="grace@navy.test", group_id=self.group
            )
            self.colleague = await viewer_of(connection, self.colleague_id)
        values = {
            "name": NAME,
            "email": FORMER,
            "role_id": self.strong_role,
            "group_id": self.group,
            "external_ids": [IDS[0]],
            "scim_external_id": "scim-ada-77",
        }
        self.ada_id = (await self.do(administration.invite_user, values)).id
        told = {"scim_user_name": "ada.login", "given_name": "The Countess", "family_name": NAME}
        later = {"email": EMAIL, "external_ids": list(IDS), "started_on": date(2026, 1, 5), "manager_id": None, **told}
        await self.do(administration.update_user, self.ada_id, later)
        async with acquire(ALL_TEAMS) as connection:
            self.ada = replace(await viewer_of(connection, self.ada_id), address="198.51.100.77", request_id="r1")
        self.records = self._records(size)
        await self.take(self.records)
        return self

    def _records(self, size: int) -> list[dict[str, Any]]:
        random = Random(size)
        found = []
        for number in range(size):
            record = random_record(random, [EMAIL, *IDS, "grace@navy.test"], f"a{number}", 1)
            if record["kind"] == "email" and not record.get("deleted") and record["user"] != "grace@navy.test":
                record |= {"subject": SUBJECT, "body": BODY}
            if record["kind"] == "opportunity" and not record.get("deleted") and record["user"] != "grace@navy.test":
                record["name"] = "Engine deal"
            found.append(record)
        return found

    async def do(self, work: Callable[..., Awaitable[Any]], *args: Any, by: Viewer | None = None, **more: Any) -> Any:
        viewer = by or self.admin
        return await in_transaction(self.team, lambda connection: work(connection, viewer, *args, **more))

    async def take(self, records: list[dict[str, Any]]) -> ingest.Outcome:
        items = [(number, decode_json(json.dumps(record))) for number, record in enumerate(records)]
        return await ingest.take_in(self.team, "test", items)

    async def remember(self) -> None:
        """Leave traces of Ada wherever there is room for one."""
        await self.do(
            team_settings.add_days_off, self.ada_id, Days(date(2026, 3, 2), date(2026, 3, 6)), "Scarlet fever"
        )
        goal = SetGoals(
            "EMAILS_SENT", GoalPeriod.MONTH, Decimal(40), (Subject(self.ada_id, None, ()),), date(2026, 2, 1)
        )
        await self.do(goals.set_goals, replace(goal, idempotency_key="key-of-ada"), NOW, by=self.ada_as_manager())
        issue = partial(administration.issue_token, user_id=self.ada_id, scopes=["READ"], now=NOW)
        await self.do(issue, name="Ada phone")
        await self.do(issue, name="Ada phone 2", by=self.ada)
        async with acquire(ALL_TEAMS) as connection:
            kind = TokenKind.SESSION
            await create_token(connection, self.team, self.ada_id, name="Ada phone browser", kind=kind)
            rows = await connection.fetch(
                "SELECT id, user_id FROM activities WHERE user_id = $1 AND body_stored", self.ada_id
            )
        emails = [(row["id"], row["user_id"]) for row in rows]
        await self.do(lambda connection, viewer: bodies.read_bodies(connection, viewer, emails))
        await self.do(administration.create_group, "South", None, by=self.ada)
        change = webhooks.EndpointChange(url="https://ada-hook.test/in", description="Ada phone")
        create = partial(webhooks.create_endpoint, box=SecretBox([TEST_KEY]), change=change, private_allowed=False)
        await self.do(create, by=self.ada)
        # An event after the endpoint, so that something is delivered to it.
        await self.do(goals.set_goals, replace(goal, target=Decimal(50), effective_from=None), NOW)
        await self._deliver()
        await self.upload(self.bad_lines())
        await self.upload(self.bad_rows(), "csv")
        await in_transaction(
            self.team, partial(goal_evaluation.evaluate_team, team_id=self.team, now=datetime.now(UTC))
        )

    def ada_as_manager(self) -> Viewer:
        return replace(self.ada, permissions=self.ada.permissions | {"MANAGE_GOALS"})

    async def _deliver(self) -> None:
        async with acquire(ALL_TEAMS) as connection:
            for claim in await webhooks.claim_due(connection, "test", 1_000):
                if claim.endpoint.team_id == self.team:
                    (event, *_) = await webhooks.next_events(connection, claim, 1)
                    attempt = webhooks.Attempt(200, None, "thank you, Ada Lovelace", 5)
                    await webhooks.finish(connection, claim, event, attempt, NOW, 0.5)
                await webhooks.release(connection, claim)

    def bad_lines(self) -> bytes:
        """Lines that are refused, each naming Ada in another way."""
        call = {"kind": "call", "user": EMAIL, "occurredAt": "2026-03-03T10:00:00Z", "version": 1}
        lines = [
            json.dumps({**call, "externalId": "q1", "durationSeconds": -1, "disposition": SUBJECT}),
            json.dumps({**call, "externalId": "q2", "user": IDS[1], "occurredAt": "1999-01-01T00:00:00Z"}),
            json.dumps({**call, "externalId": "q3", "user": FORMER.upper()}),
            json.dumps({**call, "externalId": "q4", "user": "x", "name": NAME}),
            json.dumps({**call, "externalId": "q5"})[:-9] + "??",
            f'{{"kind": "call", "user": "ada.lovelace\\u0040countess.test", "note": "{SUBJECT}"}}',
            json.dumps({"owner": IDS[0], "subject": SUBJECT}),
            json.dumps({**call, "externalId": "q8", "user": f"Ada <{EMAIL}>"}),
            f"call,{EMAIL},{SUBJECT}",
            json.dumps({**call, "externalId": "q10", "user": " " + EMAIL + " "}),
        ]
        return "\n".join(lines).encode() + b"\n"

    def bad_rows(self) -> bytes:
        rows = [
            {"kind": "email", "externalId": "c1", "user": EMAIL, "occurredAt": "then", "subject": SUBJECT},
            {"kind": "email", "externalId": "c2", "user": IDS[0], "occurredAt": "then", "subject": SUBJECT},
        ]
        return as_csv(rows)

    async def upload(self, data: bytes, form: str = "ndjson", *, compressed: bool = False) -> UUID:
        job_id = await upload(self.team, data, ImportOptions("test", form, compressed=compressed))
        await run(job_id)
        return job_id

    async def traces(self) -> set[tuple[str, str, str]]:
        async with acquire(ALL_TEAMS) as connection:
            return await find_traces(connection, self.team, NEEDLES)

    async def erase(self) -> UUID:
        _user, job_id = await self.do(erasure.erase_user, self.ada_id, now=NOW)
        return job_id

    async def claim(self, job_id: UUID) -> ClaimedJob:
        async with acquire(ALL_TEAMS) as connection:
            job = await jobs.claim_job(connection, "test", job_id=job_id)
        assert job is not None
        return job

    async def erase_all(self) -> None:
        await erasure.run(await self.claim(await self.erase()))

    async def numbers(self) -> Any:
        """Everything that dashboards show, for ranges of all sorts: the totals, the groups and the reps."""
        whole = Audience(Sight(self.team, True, frozenset()), Sight(self.team, True, frozenset()))
        request = RankingRequest(page_request(100, None), "EMAILS_SENT")
        first, last = START.date(), NOW.date() + timedelta(days=20)
        ranges = [
            Days(first, last),
            Days(date(2026, 3, 1), date(2026, 3, 31)),
            Days(date(2026, 1, 1), date(2026, 12, 31)),
        ]
        ranges += [Days(first + timedelta(days=day), last - timedelta(days=day)) for day in range(0, 30, 4)]
        found = []
        async with acquire(self.team) as connection:
            for days in ranges:
                team = await dashboards.team_numbers(connection, whole, days, None, request)
                found.append((team.total, team.groups, {one.user_id: one for one in team.reps.page.nodes}))
        return found

    async def move(self, zone: str) -> None:
        await in_transaction(self.team, partial(rollups.rebuild, team_id=self.team, timezone=zone))

    async def verify(self) -> audit.Verification:
        async with acquire(ALL_TEAMS) as connection:
            return await audit.verify(connection, self.team)

    async def quarantined(self) -> set[tuple[str, str]]:
        async with acquire(self.team) as connection:
            rows = await connection.fetch("SELECT code, record FROM quarantined_records")
        return {(row["code"], row["record"]) for row in rows}


async def test_nothing_is_left_but_the_numbers(database: str) -> None:
    office = await Office().open()
    await office.remember()
    before = await office.traces()
    assert {needle for _table, _column, needle in before} == set(NEEDLES)
    tables = {table for table, _column, _needle in before}
    assert tables >= {"users", "activities", "quarantined_records", "audit_entries", "tokens", "days_off"}
    assert tables >= {"idempotency_keys", "webhook_endpoints", "webhook_deliveries"}
    await office.do(administration.deactivate_user, office.ada_id, now=NOW, ended_on=date(2026, 4, 21))
    numbers = await office.numbers()
    job_id = await office.erase()
    await erasure.run(await office.claim(job_id))
    assert await office.traces() == set()
    assert await office.numbers() == numbers
    async with acquire(office.team) as connection:
        user = await connection.fetchrow("SELECT * FROM users WHERE id = $1", office.ada_id)
        job = await jobs.get_job(connection, office.team, job_id)
        days_off = await connection.fetchrow("SELECT * FROM days_off WHERE user_id = $1", office.ada_id)
        versions = await connection.fetchval("SELECT count(*) FROM goal_versions")
        left = await connection.fetchval("SELECT count(*) FROM activities WHERE user_id = $1", office.ada_id)
        keys = await connection.fetchval("SELECT count(*) FROM activity_keys WHERE occurred_at IS NOT NULL")
        others = await connection.fetchval("SELECT count(*) FROM activities")
        bodies_left = await connection.fetchval("SELECT count(*) FROM email_bodies")
        bodies_of_others = await connection.fetchval("SELECT count(*) FROM activities WHERE body_stored")
        passing = await connection.fetchval("SELECT count(*) FROM erased_names WHERE passing")
    assert (user["name"], user["active"], user["group_id"]) == ("Erased person", False, office.group)
    assert user["email"] == f"erased-{office.ada_id.hex}@erased.invalid"
    assert user["ended_on"] == date(2026, 4, 21)
    assert job is not None
    assert job.state is JobState.SUCCEEDED
    assert job.processed > left == 0
    assert (keys, bodies_left) == (others, bodies_of_others)
    assert others > 0
    assert (days_off["first_day"], days_off["reason"]) == (date(2026, 3, 2), None)
    assert versions == 2
    assert passing == 0


async def test_the_chain_verifies_and_what_was_done_stays(database: str) -> None:
    office = await Office().open(40)
    await office.remember()
    before = await office.verify()
    await office.erase_all()
    found = await office.verify()
    assert (found.entries, found.reason) == (before.entries + 1, None)
    assert found.erased > 0
    async with acquire(office.team) as connection:
        page = await audit.list_entries(connection, office.admin, AuditFilter(), page_request(500, None))
    entry = page.nodes[0]
    assert (entry.action, entry.subject_id, json.loads(entry.details)) == (
        "USER_ERASED",
        office.ada_id,
        {"after": {"deactivated": True}},
    )
    told = {one.action for one in page.nodes if one.details is None}
    assert {"USER_INVITED", "USER_UPDATED", "TOKEN_CREATED", "EMAIL_BODY_READ", "GROUP_CREATED"} <= told
    # Entries of others about others keep what they tell.
    await office.do(administration.create_group, "West", None)
    async with acquire(office.team) as connection:
        page = await audit.list_entries(connection, office.admin, AuditFilter(), page_request(1, None))
    assert "West" in (page.nodes[0].details or "")


async def test_numbers_stay_through_retention_and_time_zones(database: str) -> None:
    office = await Office().open()
    await office.do(administration.deactivate_user, office.ada_id, now=NOW)
    numbers = await office.numbers()
    async with acquire(office.team) as connection:
        await connection.execute("UPDATE teams SET keep_activities_days = 25")
    team = TeamRetention(office.team, ZONE, 25, None, None)
    assert await retention.forget(team, NOW) > 0
    assert await office.numbers() == numbers
    await office.erase_all()
    assert await office.numbers() == numbers
    for zone in ("Asia/Tokyo", "Pacific/Pago_Pago", ZONE):
        await office.move(zone)
    assert await office.numbers() == numbers
    assert await retention.forget(team, NOW + timedelta(days=10)) > 0
    await office.move(ZONE)
    assert await office.numbers() == numbers


async def test_nothing_comes_back(database: str) -> None:
    office = await Office().open(80)
    await office.erase_all()
    numbers = await office.numbers()
    theirs = [one for one in office.records if one.get("user") != "grace@navy.test" and not one.get("deleted")]
    assert {error.code for error in (await office.take(theirs)).errors} == {"ERASED_USER"}
    later = [one | {"version": 9} for one in theirs]
    for data, form, compressed in (
        (ndjson(later), "ndjson", False),
        (gzip.compress(ndjson(theirs)), "ndjson", True),
        (as_csv(later), "csv", False),
        (office.bad_lines(), "ndjson", False),
        (office.bad_rows(), "csv", False),
    ):
        await office.upload(data, form, compressed=compressed)
    # What names nobody, but for a name that others may have, is kept: it can be mended and tried again.
    kept = {record for _code, record in await office.quarantined() if record}
    assert [json.loads(record)["externalId"] for record in kept] == ["q4"]
    assert {code for code, record in await office.quarantined() if not record} == {"ERASED_USER"}
    await office.do(
        lambda connection, _viewer: connection.execute("DELETE FROM quarantined_records WHERE record <> ''")
    )
    assert await office.traces() == set()
    assert await office.numbers() == numbers
    colleague = {"kind": "call", "externalId": "n1", "user": "grace@navy.test", "occurredAt": "2026-03-03T10:00:00Z"}
    outcome = await office.take([colleague | {"version": 1}, colleague | {"externalId": "n2", "user": "x@y.test"}])
    assert (outcome.accepted, [error.code for error in outcome.errors]) == (1, ["UNKNOWN_USER"])
    placeholder = erasure.placeholder_address(office.ada_id)
    assert (await office.take([colleague | {"externalId": "n3", "user": placeholder}])).errors


async def test_who_is_invited_anew_is_somebody_new(database: str) -> None:
    office = await Office().open(20)
    await office.erase_all()
    values = {"name": NAME, "email": EMAIL, "role_id": office.strong_role}
    again = (await office.do(administration.invite_user, values)).id
    assert again != office.ada_id
    call = {"kind": "call", "externalId": "n1", "user": EMAIL, "occurredAt": "2026-03-03T10:00:00Z", "version": 1}
    assert (await office.take([call])).accepted == 1
    assert [error.code for error in (await office.take([call | {"user": IDS[0]}])).errors] == ["ERASED_USER"]


async def test_a_file_of_people_does_not_make_them_again(database: str) -> None:
    office = await Office().open(20)
    await office.erase_all()
    rule = PeopleRule("people.csv", "countess.test", [UsersRule("name", "User")])
    rows = [{"name": "Ada Lovelace"}, {"name": "Mary Somerville"}]
    await in_transaction(office.team, lambda connection: mapping.create_people(connection, office.team, rule, rows))
    async with acquire(office.team) as connection:
        names = {row["name"] for row in await connection.fetch("SELECT name FROM users")}
    assert names == {"Charles", "Grace", "Erased person", "Mary Somerville"}


async def test_who_may_erase_whom(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    office, other = await Office().open(5), await Office().open(5)
    for viewer, user_id, error in (
        (office.ada, office.colleague_id, Forbidden),
        (office.colleague, office.ada_id, Forbidden),
        (office.admin, office.admin.user_id, Invalid),
        (office.admin, other.ada_id, NotFound),
        (office.admin, UUID(int=7), NotFound),
    ):
        with pytest.raises(error):
            await office.do(erasure.erase_user, user_id, by=viewer, now=NOW)
    erase = partial(erasure.erase_for_operator, team_id=office.team, now=NOW)
    with pytest.raises(Conflict, match="last Admin"):
        await in_transaction(office.team, partial(erase, user_id=office.admin.user_id))
    bodies.use_keys(None)
    with pytest.raises(Unavailable, match="SIDELINE_SECRET_KEYS"):
        await office.erase()
    bodies.use_keys(SecretBox([TEST_KEY]))
    async with acquire(office.team) as connection:
        assert await connection.fetchval("SELECT count(*) FROM users WHERE erased_at IS NOT NULL") == 0
        assert await connection.fetchval("SELECT count(*) FROM audit_entries WHERE action = 'USER_ERASED'") == 0


async def test_asking_twice_is_asking_once(database: str) -> None:
    office = await Office().open(20)
    first = await office.erase()
    job = await office.claim(first)
    with pytest.raises(Conflict, match="to its end"):
        await office.do(lambda connection, _viewer: jobs.cancel_job(connection, office.team, first))
    async with acquire(ALL_TEAMS) as connection:
        await jobs.fail_job(connection, job, "Something was away.", retry_in=None)
    assert await office.erase() == first
    await erasure.run(await office.claim(first))
    assert await office.erase() == first
    async with acquire(office.team) as connection:
        found = await jobs.get_job(connection, office.team, first)
        told = await connection.fetchval("SELECT count(*) FROM audit_entries WHERE action = 'USER_ERASED'")
    assert found is not None
    assert (found.state, told) == (JobState.SUCCEEDED, 1)
    with pytest.raises(Conflict, match="erased"):
        await office.do(administration.update_user, office.ada_id, {"name": NAME})
    with pytest.raises(Conflict, match="erased"):
        await office.do(administration.reactivate_user, office.ada_id)
    with pytest.raises(NotFound):
        await office.do(team_settings.add_days_off, office.ada_id, Days(date(2026, 3, 2), date(2026, 3, 6)), NAME)
    moved = await office.do(administration.update_user, office.ada_id, {"group_id": None})
    assert moved.group_id is None, "so that a group can be emptied and removed"


async def test_a_batch_that_was_read_before_is_read_again(database: str) -> None:
    office = await Office().open(20)
    call = {"kind": "call", "externalId": "n1", "user": EMAIL, "occurredAt": "2026-03-03T10:00:00Z", "version": 1}
    item = (0, decode_json(json.dumps(call)))
    async with acquire(office.team) as connection:
        prepared = ingest.prepare([item], *await ingest.read_importing(connection, office.team, [item]))
    await office.erase()
    outcome = await in_transaction(
        office.team, lambda connection: ingest.take_in_within(connection, office.team, "test", prepared)
    )
    assert [error.code for error in outcome.errors] == ["ERASED_USER"]


async def test_corrections_before_the_rest_is_removed_move_no_number_of_theirs(database: str) -> None:
    office = await Office().open()
    await office.do(administration.deactivate_user, office.ada_id, now=NOW)
    job_id = await office.erase()

    async def theirs() -> Any:
        async with acquire(office.team) as connection:
            rows = await connection.fetch("SELECT * FROM rollup_days WHERE user_id = $1 ORDER BY day", office.ada_id)
        return [tuple(row) for row in rows]

    before = await theirs()
    mine = [one for one in office.records if one.get("user") in (EMAIL, *IDS) and not one.get("deleted")]
    gone = [{"kind": "call", "externalId": one["externalId"], "version": 5, "deleted": True} for one in mine[:5]]
    handed_on = [one | {"version": 5, "user": "grace@navy.test"} for one in mine[5:10]]
    assert (await office.take(gone + handed_on)).accepted == 10
    assert await theirs() == before
    await erasure.run(await office.claim(job_id))
    await office.move("Asia/Tokyo")
    assert await theirs() == before


async def test_uploads_that_are_under_way_are_waited_for(database: str) -> None:
    office = await Office().open(10)
    waiting = await upload(office.team, office.bad_lines(), ImportOptions("test", "ndjson"))
    broken = await upload(office.team, office.bad_lines()[:400], ImportOptions("test", "ndjson", compressed=True))
    with pytest.raises(Invalid):
        await imports.run_upload(await office.claim(broken))
    async with acquire(ALL_TEAMS) as connection:
        await connection.execute(
            "UPDATE jobs SET state = 'FAILED', lease_holder = NULL, leased_until = NULL, finished_at = now() "
            "WHERE id = $1",
            broken,
        )
    job = await office.claim(await office.erase())
    with pytest.raises(Postponed, match="Uploads"):
        await erasure.run(job)
    assert {table for table, _column, _needle in await office.traces()} == {"import_chunks"}
    async with acquire(ALL_TEAMS) as connection:
        chunks = await connection.fetchval("SELECT count(*) FROM import_chunks WHERE team_id = $1", office.team)
        await jobs.release_job(connection, job)
    assert chunks == 1, "those of the job that failed are gone"
    await run(waiting)
    await erasure.run(await office.claim(job.id))
    assert {needle for _table, _column, needle in await office.traces()} <= {NAME}


_KILLED = """
import asyncio, sys
from uuid import UUID
from domain import bodies, erasure, jobs
from domain.database import ALL_TEAMS, acquire, connect
from domain.secrets import SecretBox
erasure.ACTIVITY_LOT = 2
erasure.TEXT_LOT = 2

async def main():
    bodies.use_keys(SecretBox([sys.argv[3]]))
    await connect(sys.argv[1], pool_size=2)
    async with acquire(ALL_TEAMS) as connection:
        job = await jobs.claim_job(connection, "killed", job_id=UUID(sys.argv[2]), lease_seconds=0.0)
    print("ready", flush=True)
    await erasure.run(job)
asyncio.run(main())
"""


async def test_killed_at_any_point(database: str) -> None:
    office = await Office().open(240)
    await office.remember()
    await office.do(administration.deactivate_user, office.ada_id, now=NOW)
    numbers = await office.numbers()
    job_id = await office.erase()

    async def place() -> tuple[str | None, int]:
        async with acquire(ALL_TEAMS) as connection:
            job = await jobs.get_job(connection, office.team, job_id)
        assert job is not None
        assert job.state is not JobState.SUCCEEDED, "it ended before it was killed"
        return job.cursor.get("step", "activities"), job.processed

    for step, more in (("activities", 10), ("activities", 30), ("audit", 4)):
        _step, begun = await place()
        process = subprocess.Popen(
            [sys.executable, "-c", _KILLED, database, str(job_id), TEST_KEY],
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        assert process.stdout is not None
        await asyncio.to_thread(process.stdout.readline)
        while (now := await place()) < (step, 0) or now[1] < begun + more:
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert await office.numbers() == numbers
        # The dead holder's lease has a moment to run.
        async with acquire(ALL_TEAMS) as connection:
            await connection.execute("UPDATE jobs SET leased_until = now() - interval '1 s' WHERE id = $1", job_id)
    await erasure.run(await office.claim(job_id))
    assert await office.traces() == set()
    assert await office.numbers() == numbers
    assert (await office.verify()).reason is None


async def test_only_the_holder_goes_on(database: str) -> None:
    office = await Office().open(60)
    job_id = await office.erase()
    slow = await office.claim(job_id)
    async with acquire(ALL_TEAMS) as connection:
        await connection.execute("UPDATE jobs SET leased_until = now() - interval '1 s' WHERE id = $1", job_id)
    quick = await office.claim(job_id)
    with pytest.raises(jobs.LeaseLost):
        await erasure.run(slow)
    await erasure.run(quick)


async def test_keys_rotate_under_the_digests(database: str) -> None:
    office = await Office().open(10)
    await office.erase_all()
    newer = make_key()

    async def found() -> frozenset[str]:
        async with acquire(office.team) as connection:
            return await erased_names.find_erased(connection, office.team, [EMAIL.upper(), f" {IDS[0]} ", "x@y.test"])

    known = frozenset({EMAIL.upper(), f" {IDS[0]} "})
    assert await found() == known
    async with acquire(office.team) as connection:
        digests = [bytes(row["digest"]) for row in await connection.fetch("SELECT digest FROM erased_names")]
        sealed = await connection.fetchval("SELECT erasure_key FROM teams")
    assert all(len(digest) == 32 for digest in digests)
    bodies.use_keys(SecretBox([newer, TEST_KEY]))
    await in_transaction(ALL_TEAMS, bodies.reseal_secrets)
    bodies.use_keys(SecretBox([newer]))
    assert await found() == known
    async with acquire(office.team) as connection:
        assert await connection.fetchval("SELECT erasure_key FROM teams") != sealed
    bodies.use_keys(None)
    with pytest.raises(Unavailable, match="erased"):
        await found()
    with pytest.raises(Unavailable):
        await office.take([{"kind": "call", "externalId": "x", "user": EMAIL, "occurredAt": "2026-03-03T10:00:00Z"}])
    bodies.use_keys(SecretBox([TEST_KEY, newer]))
    await in_transaction(ALL_TEAMS, bodies.reseal_secrets)


@given(
    before=st.text(alphabet=st.characters(exclude_characters="@"), max_size=40),
    after=st.text(alphabet=st.characters(exclude_characters="@"), max_size=40),
    separator=st.sampled_from(list(" \t,;<>()[]{}\"'|=:")),
)
def test_an_address_is_found_wherever_it_stands(before: str, after: str, separator: str) -> None:
    text = f"{before}{separator}{EMAIL}{separator}{after}"
    assert EMAIL in set(erased_names.names_in(text))
    assert EMAIL in set(erased_names.names_in(json.dumps({"user": "x", "deep": [[{"note": text}]]})))
    assert EMAIL in set(erased_names.names_in(json.dumps(text, ensure_ascii=False)))


@given(st.text(max_size=200))
def test_any_text_can_be_looked_through(text: str) -> None:
    assert isinstance(list(erased_names.names_in(text)), list)
    assert isinstance(list(erased_names.strings_in(text)), list)


def test_a_long_or_deep_text_is_looked_through_in_time_that_grows_with_it() -> None:
    # A pattern that backtracks, or a recursion, would not come back from these.
    for text in ("a" * 65_536, '"' * 65_536, "\\" * 65_536, '\\"' * 32_768, "@" * 65_536, "[" * 900 + "]" * 900):
        list(erased_names.names_in(text))


async def test_an_id_of_theirs_elsewhere_in_a_record_is_not_meant(database: str) -> None:
    office = await Office().open(5)
    await office.do(administration.update_user, office.ada_id, {"external_ids": ["7"]})
    await office.erase_all()
    line = {"kind": "call", "externalId": "7", "user": "nobody@x.test", "occurredAt": "2026-03-03T10:00:00Z"}
    await office.upload(ndjson([line | {"version": 7}]))
    assert await office.quarantined() == {("UNKNOWN_USER", json.dumps(line | {"version": 7}))}
