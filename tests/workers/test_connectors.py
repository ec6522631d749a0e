"""What every connector keeps to, held by one suite: through the runner, over real HTTP, against its double.

Invariants:
A. A first sync brings what there is, under its owners; a second changes nothing and costs a constant number of
   requests, however much there is.
B. What is changed, added and deleted at the vendor's shows after the next sync.
C. An access token that has ended is renewed, and the renewed tokens are kept.
D. 429 postpones by what the vendor asks; 5xx, cut and senseless answers are tried again; at the end all is there.
E. A document that makes no sense waits in quarantine with a reason, the rest is there; mended, it comes.
F. Whatever fault falls on whichever request, nothing is lost and nothing is there twice at the end.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID

import orjson
import pytest

from domain import integrations
from domain.connectors import Audience
from domain.database import ALL_TEAMS, acquire, in_transaction
from domain.models import IntegrationState, JobState
from domain.models.integrations import CrmPart
from tests.doubles.base import Double, Fault
from tests.doubles.salesforce import Column, SalesforceDouble
from tests.workers.desk import BOX, Desk, wire_to
from tests.workers.peers import PEERS
from workers.connectors import all_connectors

COUNT = 7


class Peer:
    """A connection to a double, and what a sync of it brought."""

    def __init__(self, double: Double, desk: Desk, connection: UUID) -> None:
        self.double, self.desk, self.connection = double, desk, connection

    async def brought(self) -> dict[str, dict[str, Any]]:
        """What the team's activities hold, without what ids and clocks make."""
        found = await self.desk.activities()
        return {name: {key: row[key] for key in row if key != "id"} for name, row in found.items()}

    async def sync(self) -> None:
        """Sync, and wait out whatever the vendor asks for."""
        await self.desk.sync(self.connection)

    async def to_the_end(self, rounds: int = 12) -> None:
        """Go on until nothing waits any more."""
        for _ in range(rounds):
            await self.desk.hurry()
            if not await self.desk.work():
                return
        raise AssertionError("the sync does not end")

    async def requests_of(self, work: Callable[[], Any]) -> int:
        """How many requests that were not for tokens some work made."""
        before = len(self.double.requests)
        await work()
        return len(self.double.requests) - before


async def _connected(double: Double) -> Peer:
    manifest = all_connectors()[double.kind].manifest
    desk = await Desk(wire_to({double.kind: double.base_url})).open(*double.people)
    who = desk.admin
    if manifest.audience is Audience.PERSON:
        who = await desk.viewer(desk.people[double.people[0]])
    signs_in = manifest.oauth is not None and "access_token" in double.secrets
    connection = await desk.connect(
        double.kind,
        viewer=who,
        settings=double.settings,
        secrets={} if signs_in else double.secrets,
        syncs=[CrmPart.OPPORTUNITIES, CrmPart.DEALS] if manifest.opportunity_object else [],
        tokens=double.secrets if signs_in else None,
    )
    return Peer(double, desk, connection)


@pytest.fixture(params=sorted(PEERS))
async def peer(request: pytest.FixtureRequest, database: str) -> AsyncIterator[tuple[Double, Callable[[], Any]]]:
    """A double that runs, and how to connect to it."""
    with PEERS[request.param]() as double:

        async def connect() -> Peer:
            return await _connected(double)

        yield double, connect


def test_no_connector_goes_without(database_url: str) -> None:
    assert set(PEERS) == set(all_connectors())


async def test_a_first_sync_brings_all_and_a_second_costs_little(peer: Any) -> None:
    double, connect = peer
    names = double.add(COUNT)
    one = await connect()
    await one.to_the_end()
    row = await one.desk.integration(one.connection)
    assert (row.state, row.last_error) == (IntegrationState.ACTIVE, None)
    assert await one.desk.quarantine() == {}
    first = await one.brought()
    assert set(first) == set(names)
    assert {row["email"] for row in first.values()} <= set(double.people)
    few = await one.requests_of(one.sync)
    assert await one.brought() == first
    more = double.add(COUNT * 4)
    await one.sync()
    await one.to_the_end()
    assert set(await one.brought()) == {*names, *more}
    assert await one.requests_of(one.sync) <= few
    assert few <= 10


async def test_what_changes_comes_and_goes(peer: Any) -> None:
    double, connect = peer
    names = double.add(COUNT)
    one = await connect()
    await one.to_the_end()
    before = await one.brought()
    removed = double.removable(names)
    changing = next(name for name in names if name != removed)
    double.change(changing)
    double.remove(removed)
    await one.sync()
    await one.to_the_end()
    after = await one.brought()
    changed = [name for name in before if name in after and after[name] != before[name]]
    assert set(changed) - {removed} == {changing}
    # The activity is gone, or is a meeting that was cancelled.
    assert set(before) - set(after) <= {removed}
    assert removed not in after or after[removed]["status"] == "cancelled"


async def test_an_ended_token_is_renewed_and_kept(peer: Any) -> None:
    double, connect = peer
    if "refresh_token" not in double.secrets:
        pytest.skip("it takes no tokens")
    double.add(COUNT)
    one = await connect()
    await one.to_the_end()
    double.faults.append(Fault(expire=True))
    await one.sync()
    await one.to_the_end()
    row = await one.desk.integration(one.connection)
    assert (row.state, row.last_error) == (IntegrationState.ACTIVE, None)
    kept = orjson.loads(BOX.open(row.secrets))
    assert kept["access_token"] != double.secrets.get("first_access_token", None)
    # The tokens that were kept are the ones that work: another sync needs no new ones.
    tokens = sum(seen.path in double.token_paths for seen in double.seen)
    await one.sync()
    assert sum(seen.path in double.token_paths for seen in double.seen) == tokens


async def test_patience_is_kept(peer: Any) -> None:
    double, connect = peer
    double.add(COUNT)
    one = await connect()
    await one.to_the_end()
    double.faults.append(Fault(status=429, headers={"retry-after": "90"}))
    await one.sync()
    async with acquire(one.desk.team) as connection:
        job = await connection.fetchrow(
            "SELECT state, attempts, due_at FROM jobs WHERE team_id = $1 AND kind = 'sync' ORDER BY id DESC LIMIT 1",
            one.desk.team,
        )
    assert (job["state"], job["attempts"]) == (JobState.SCHEDULED, 0)
    assert 60 < (job["due_at"] - datetime.now(UTC)).total_seconds() <= 90
    await one.to_the_end()
    assert (await one.desk.integration(one.connection)).last_error is None


async def test_a_senseless_document_waits_and_comes_when_mended(peer: Any) -> None:
    double, connect = peer
    names = double.add(COUNT)
    double.spoil(names[3])
    one = await connect()
    await one.to_the_end()
    assert set(await one.brought()) == set(names) - {names[3]}
    assert len(await one.desk.quarantine()) == 1
    double.mend(names[3])
    await one.sync()
    await one.to_the_end()
    assert set(await one.brought()) == set(names)
    assert await one.desk.quarantine() == {}


@pytest.mark.parametrize("seed", range(2))
async def test_no_fault_loses_or_doubles_anything(peer: Any, seed: int) -> None:
    double, connect = peer
    random = Random(f"{double.kind}:{seed}")
    kinds: list[Callable[[], Fault]] = [
        lambda: Fault(status=500),
        lambda: Fault(status=502, body="<html>bad gateway</html>"),
        lambda: Fault(status=503, headers={"retry-after": "30"}),
        lambda: Fault(status=429, headers={"retry-after": "20"}),
        lambda: Fault(cut=True),
        lambda: Fault(status=200, body="{"),
    ]
    names = set(double.add(COUNT))
    one = await connect()
    for _ in range(3):
        double.faults.extend(Fault() if random.random() < 0.5 else random.choice(kinds)() for _ in range(4))
        await one.to_the_end()
        names |= set(double.add(3))
        await one.desk.hurry()
        state = (await one.desk.integration(one.connection)).state
        if state is not IntegrationState.CONNECTING:
            await one.sync()
    double.faults.clear()
    await one.to_the_end()
    row = await one.desk.integration(one.connection)
    if row.state is not IntegrationState.ACTIVE or row.last_error is not None:
        # A fault that looked like a refusal parks the sync; whoever resumes it goes on from where it stood.
        await one.sync()
        await one.to_the_end()
    await one.sync()
    assert set(await one.brought()) == names
    async with acquire(ALL_TEAMS) as connection:
        twice = await connection.fetchval(
            "SELECT count(*) FROM (SELECT source, external_id FROM activities WHERE team_id = $1 "
            "GROUP BY 1, 2 HAVING count(*) > 1) d",
            one.desk.team,
        )
    assert twice == 0


async def test_a_mapping_by_a_field_of_the_teams_own_credits_whom_it_names(database: str) -> None:
    """Salesforce through the runner: the fields of a new mapping are fetched, and its rates are those of the day."""
    with SalesforceDouble(currencies=True) as org:
        org.columns["SDR__c"] = Column("reference", "SDR", reference=("User",))
        first, second = list(org.users)[:2]
        org.rate("EUR", date(2026, 1, 1), "0.5")
        deals = [org.create(OwnerId=first, SDR__c=second, CurrencyIsoCode="EUR", Amount=Decimal(100)) for _ in range(3)]
        one = await _connected(org)
        await one.to_the_end()
        assert await one.desk.quarantine() == {}
        assert {row["email"] for row in (await one.brought()).values()} == {org.people[0]}
        row = await one.desk.integration(one.connection)
        mapping = {**all_connectors()["salesforce"].manifest.default_mapping, "credit": {"field": "SDR__c"}}

        async def work(connection: Any) -> Any:
            return await integrations.set_mapping(
                connection, one.desk.admin, one.connection, mapping, expected_version=row.mapping_version
            )

        await in_transaction(one.desk.team, work)
        await one.to_the_end()
        found = await one.brought()
        assert set(found) == set(deals)
        assert {row["email"] for row in found.values()} == {org.people[1]}
        # Two dollars for a euro: Salesforce keeps units of the currency for one of the corporate.
        assert {(row["amount"], row["team_amount"]) for row in found.values()} == {(Decimal(100), Decimal(200))}
