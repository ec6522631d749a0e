"""Comments, mentions, reviews, and what numbers take from a film.

Invariants:
A. After any sequence of comments, reviews, scorecards, calibrations, imports, corrections, moves to other owners,
   deletions and new time zones, day and month sums equal a recount from the film's own tables.
B. A comment is seen by who sees the activity, edited by its author, deleted by its author or an Admin; versions are
   kept and go with the text.
C. A mention reaches only who may see the activity; anybody else is refused, by name if the viewer may know the name.
D. A manager reviews a conversation once, whichever way; nobody else reviews.
E. A film follows its activity to another owner, is out of sight while the activity is gone, comes back with it, and
   goes for good with retention, erasure and time.
F. Numbers of closed books stay, whatever is said of the film.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from domain import (
    access,
    access_film,
    audit,
    calibrations,
    comments,
    erasure,
    film_facts,
    jobs,
    people,
    personal_data,
    playlists,
    retention,
    reviews,
    rollups,
    scorecard_templates,
    scorecards,
)
from domain.access import Sight
from domain.calibrations import NewRound
from domain.comments import CommentChange, NewComment
from domain.database import ALL_TEAMS, acquire, in_transaction
from domain.errors import Conflict, Forbidden, Invalid, NotFound, Refused
from domain.metrics import BASE_SUM_NAMES
from domain.models.film_scorecards import Relation
from domain.models.film_sharing import PlaylistAudience
from domain.playlists import ItemContent, PlaylistContent
from domain.scorecards import CardDraft
from tests.domain.film_team import DAY, NOW, QUESTIONS, SECONDS, FilmTeam, answers
from tests.oracle import film as oracle
from tests.oracle.recount import recount


async def comment(team: FilmTeam, name: str, text: str = "Well asked.", **more: Any) -> Any:
    activity = more.pop("activity", None) or await team.activity()
    return await team.do(name, comments.add_comment, NewComment(activity, text, **more))


async def numbers(team: FilmTeam, table: str = "rollup_days") -> dict[str, Any]:
    rows = await team.fetch(
        f"SELECT sum(conversations_reviewed)::int AS reviewed, sum(scorecard_points)::int AS points, "
        f"sum(scorecards_counted)::int AS counted FROM {table} WHERE team_id = $1"
    )
    return dict(rows[0])


# A.


@pytest.mark.parametrize("seed", range(4))
async def test_any_sequence_equals_a_recount(database: str, seed: int) -> None:
    random = Random(seed)
    team = await FilmTeam().build(timezone="America/New_York")
    template = await team.do("manager", scorecard_templates.create_template, "Discovery", None, QUESTIONS)
    held: dict[str, dict[str, Any]] = {}
    zone = "America/New_York"
    names = [f"c{number}" for number in range(6)]

    async def take(name: str) -> None:
        record = {
            "externalId": name,
            "kind": random.choice(["conversation"] * 4 + ["call"]),
            "durationSeconds": random.randrange(60, 900),
            "occurredAt": f"2026-03-{random.randrange(1, 29):02}T{random.randrange(24):02}:30:00+00:00",
            "deleted": random.random() < 0.15,
        }
        owner = random.choice(["rep", "rep", "peer"])
        if record["deleted"]:
            held.pop(name, None)
        else:
            del record["deleted"]
            held[name] = record | {"user": f"{owner}@film.test"}
        await team.take(record, user=owner)

    async def say(name: str) -> None:
        await comment(team, random.choice(["manager", "admin", "rep", "lead"]), activity=await team.activity(name))

    async def score(name: str) -> None:
        scorer = random.choice(["manager", "admin", "rep", "lead", "peer"])
        draft = CardDraft(await team.activity(name), template.id, answers(random.randint(1, 5)))
        card = await team.do(scorer, scorecards.save_card, draft, now=NOW)
        if random.random() < 0.8:
            await team.do(scorer, scorecards.submit_card, card.id, expected_revision=None, now=NOW)

    async def mark(name: str) -> None:
        change = random.choice([reviews.mark_reviewed, reviews.mark_reviewed, reviews.unmark_reviewed])
        await team.do(random.choice(["manager", "admin"]), change, await team.activity(name))

    async def begin_round(name: str) -> None:
        scorers = tuple(team.users[one] for one in random.sample(["manager", "admin", "lead"], 2))
        await team.do("manager", calibrations.start, NewRound(await team.activity(name), template.id, scorers))

    async def end_round(_name: str) -> None:
        open_rounds = await team.fetch("SELECT id FROM calibrations WHERE team_id = $1 AND state = 'OPEN'")
        if open_rounds:
            await team.do("admin", calibrations.close, random.choice(open_rounds)["id"], now=NOW)

    async def remove(_name: str) -> None:
        found = await team.fetch("SELECT id FROM scorecards WHERE team_id = $1")
        if found:
            await team.do("admin", scorecards.remove_card, random.choice(found)["id"])

    async def move(_name: str) -> None:
        nonlocal zone
        zone = random.choice(["America/New_York", "UTC", "Pacific/Auckland"])
        async with acquire(ALL_TEAMS) as connection, connection.transaction():
            await rollups.rebuild(connection, team.team_id, timezone=zone)

    for name in names:
        await take(name)
    happened = 0
    for _ in range(70):
        step = random.choices([take, say, score, mark, begin_round, end_round, remove, move], [4, 3, 8, 3, 2, 2, 1, 1])[
            0
        ]
        try:
            await step(random.choice(names))
            happened += 1
        except (NotFound, Conflict, Refused, Invalid, Forbidden):
            continue  # A rule said no, and nothing is to have changed.
    assert happened > 30
    keys = await team.fetch("SELECT id, external_id FROM activity_keys WHERE team_id = $1")
    films = oracle.films(
        {row["id"]: row["external_id"] for row in keys},
        await team.fetch("SELECT * FROM reviews WHERE team_id = $1"),
        await team.fetch("SELECT * FROM scorecards WHERE team_id = $1"),
        await team.fetch("SELECT * FROM calibrations WHERE team_id = $1"),
    )
    assert any(film.scores or film.reviewed for film in films.values())
    first = {
        "externalId": "conversation",
        "kind": "conversation",
        "durationSeconds": SECONDS,
        "occurredAt": "2026-03-10T12:00:00+00:00",
        "user": "rep@film.test",
    }
    expected = recount([first, *held.values()], zone, films)
    rows = await team.fetch(
        "SELECT u.email, r.* FROM rollup_days r JOIN users u ON u.id = r.user_id WHERE r.team_id = $1"
    )
    found = {(row["email"], row["day"]): {name: row[name] for name in BASE_SUM_NAMES if row[name]} for row in rows}
    assert {key: sums for key, sums in found.items() if sums} == expected
    months: dict[Any, dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for (user, day), sums in expected.items():
        for name, value in sums.items():
            months[user, day.replace(day=1)][name] += value
    rows = await team.fetch(
        "SELECT u.email, r.* FROM rollup_months r JOIN users u ON u.id = r.user_id WHERE r.team_id = $1"
    )
    found = {(row["email"], row["month"]): {name: row[name] for name in BASE_SUM_NAMES if row[name]} for row in rows}
    assert {key: sums for key, sums in found.items() if sums} == {key: dict(sums) for key, sums in months.items()}


# B.


async def test_who_sees_the_activity_sees_and_makes_comments(database: str) -> None:
    team = await FilmTeam().build()
    for name in ("rep", "manager", "lead", "admin"):
        await comment(team, name)
    for name in ("peer", "other", "rival", "boss"):
        with pytest.raises(NotFound):
            await comment(team, name)
    made = await comment(team, "manager")
    for name, seen in {"rep": True, "lead": True, "admin": True, "peer": False, "rival": False, "boss": False}.items():
        viewer = await team.viewer(name)
        async with acquire(team.team_id) as connection:
            sight = await access_film.see_film(connection, viewer)
            assert bool(await comments.comments_by_id(connection, sight, [made.id])) is seen, name
    # What was refused has left nothing.
    assert (await team.fetch("SELECT comment_count FROM films WHERE team_id = $1"))[0]["comment_count"] == 5


async def test_moments_lie_within(database: str) -> None:
    team = await FilmTeam().build()
    assert (await comment(team, "rep", at_seconds=SECONDS)).at_seconds == SECONDS
    for seconds in (SECONDS + 1, -1):
        with pytest.raises(Invalid, match="from 0 to 600"):
            await comment(team, "rep", at_seconds=seconds)
    await team.take(
        {"kind": "email", "externalId": "email"},
        {"kind": "meeting", "externalId": "meeting", "startsAt": DAY, "endsAt": "2026-03-10T12:30:00Z"},
    )
    with pytest.raises(Invalid, match="only conversations"):
        await comment(team, "rep", at_seconds=1, activity=await team.activity("email"))
    with pytest.raises(Invalid, match="to 1800"):
        await comment(team, "rep", at_seconds=1801, activity=await team.activity("meeting"))
    for text in ("", "  ", "x" * 10_001, "a\0b"):
        with pytest.raises(Invalid):
            await comment(team, "rep", text)


async def test_editing_keeps_what_was_said(database: str) -> None:
    team = await FilmTeam().build()
    made = await comment(team, "manager", "First", at_seconds=10)
    for name in ("rep", "admin"):
        with pytest.raises(Forbidden):
            await team.do(name, comments.edit_comment, made.id, CommentChange("x", None, None, None), now=NOW)
    second = await team.do("manager", comments.edit_comment, made.id, CommentChange("Second", 20, None, 1), now=NOW)
    assert (second.version, second.body, second.at_seconds) == (2, "Second", 20)
    with pytest.raises(Conflict, match="version 2"):
        await team.do("manager", comments.edit_comment, made.id, CommentChange("x", None, None, 1), now=NOW)
    # The same again is no version.
    await team.do("manager", comments.edit_comment, made.id, CommentChange("Second", 20, None, 2), now=NOW)
    async with acquire(team.team_id) as connection:
        versions = (await comments.versions_of(connection, team.team_id, [made.id]))[made.id]
    assert [(one.version, one.body, one.at_seconds) for one in versions] == [(1, "First", 10)]


async def test_deleting_leaves_a_tombstone(database: str) -> None:
    team = await FilmTeam().build()
    made = await comment(team, "manager", "First", mention_ids=(team.users["rep"],))
    await team.do("manager", comments.edit_comment, made.id, CommentChange("Second", None, None, None), now=NOW)
    answer = await comment(team, "rep", "Thanks", parent_id=made.id)
    below = await comment(team, "manager", "Welcome", parent_id=answer.id)
    assert below.parent_id == made.id, "an answer to an answer belongs to the thread"
    with pytest.raises(Forbidden):
        await team.do("rep", comments.delete_comment, made.id, now=NOW)
    gone = await team.do("admin", comments.delete_comment, made.id, now=NOW)
    assert gone.body is None
    assert gone.deleted_at == NOW
    for table in ("comment_versions", "mentions"):
        assert not await team.fetch(f"SELECT 1 FROM {table} WHERE team_id = $1")
    with pytest.raises(NotFound):
        await team.do("manager", comments.delete_comment, made.id, now=NOW)
    with pytest.raises(NotFound):
        await comment(team, "rep", parent_id=made.id)
    async with acquire(team.team_id) as connection:
        assert len((await comments.answers_of(connection, team.team_id, [made.id]))[made.id]) == 2
    entries = await team.fetch("SELECT action, details FROM audit_entries WHERE team_id = $1")
    assert [entry["action"] for entry in entries] == ["COMMENT_DELETED"]
    assert "Second" not in entries[0]["details"]
    assert (await team.fetch("SELECT comment_count FROM films WHERE team_id = $1"))[0]["comment_count"] == 2


# C.


async def test_mentions_reach_who_may_see(database: str) -> None:
    team = await FilmTeam().build()
    ids = tuple(team.users[name] for name in ("rep", "lead", "rep"))
    await comment(team, "manager", mention_ids=ids)
    with pytest.raises(Refused) as refused:
        await comment(team, "manager", mention_ids=tuple(team.users[name] for name in ("rep", "peer", "other")))
    told = {item.path[-1]: (item.code, item.message) for item in refused.value.items}
    assert told["1"] == (
        "MENTIONED_MAY_NOT_SEE",
        "Peer may not see this activity, and cannot be mentioned on it.",
    )
    assert told["2"] == ("NOT_FOUND", "mentionIds: no such user."), "the manager may not know of the other branch"
    with pytest.raises(Refused, match="Peer may not see"):
        await comment(team, "rep", mention_ids=(team.users["peer"],))
    for name, count in {"rep": 1, "lead": 1, "peer": 0}.items():
        viewer = await team.viewer(name)
        async with acquire(team.team_id) as connection:
            sight = await access_film.see_film(connection, viewer)
            assert await comments.count_mentions(connection, sight, unread=True) == count
    assert await team.do("rep", comments.mark_mentions, None, read=True, now=NOW) == 1
    assert await team.do("rep", comments.mark_mentions, None, read=True, now=NOW) == 0
    # Out of sight, out of the list.
    async with acquire(ALL_TEAMS) as connection:
        await connection.execute(
            "UPDATE users SET group_id = $2 WHERE id = $1", team.users["lead"], team.groups["branch"]
        )
    viewer = await team.viewer("lead")
    async with acquire(team.team_id) as connection:
        sight = await access_film.see_film(connection, viewer)
        assert await comments.count_mentions(connection, sight, unread=None) == 0


@pytest.mark.parametrize("grouped", [True, False])
async def test_the_audience_is_the_converse_of_sight(database: str, grouped: bool) -> None:
    team = await FilmTeam().build()
    if not grouped:
        async with acquire(ALL_TEAMS) as connection:
            await connection.execute("UPDATE users SET group_id = NULL WHERE team_id = $1", team.team_id)
            await connection.execute("DELETE FROM groups WHERE team_id = $1 AND parent_id IS NOT NULL", team.team_id)
            await connection.execute("DELETE FROM groups WHERE team_id = $1", team.team_id)
    for owner, owner_id in team.users.items():
        async with acquire(team.team_id) as connection:
            found = await access_film.who_may_see(
                connection, team.team_id, owner_id, owner_id, list(team.users.values())
            )
        for name, user_id in team.users.items():
            viewer = await team.viewer(name)
            async with acquire(team.team_id) as connection:
                sight = await access.see_users(connection, viewer)
            assert (user_id in found) is sight.sees(team.team_id, owner_id), (name, owner, grouped)


async def test_relations(database: str) -> None:
    team = await FilmTeam().build()
    expected = {
        "rep": Relation.SELF,
        "admin": Relation.MANAGER,
        "manager": Relation.MANAGER,
        "boss": Relation.MANAGER,
        "lead": Relation.PEER,
        "peer": Relation.PEER,
        "rival": Relation.PEER,
    }
    for name, relation in expected.items():
        assert await team.do(name, access_film.relation_to, team.users["rep"]) is relation, name


# D.


async def test_a_manager_reviews_once(database: str) -> None:
    team = await FilmTeam().build()
    activity = await team.activity()
    await comment(team, "lead")
    await comment(team, "rep")
    assert await numbers(team) == {"reviewed": 0, "points": 0, "counted": 0}
    for name in ("lead", "rep"):
        with pytest.raises(Forbidden, match="managers"):
            await team.do(name, reviews.mark_reviewed, activity)
    await comment(team, "manager")
    await team.do("manager", reviews.mark_reviewed, activity)
    await team.do("admin", reviews.mark_reviewed, activity)
    rows = await team.fetch("SELECT way FROM reviews WHERE team_id = $1 ORDER BY id")
    assert [row["way"] for row in rows] == ["COMMENT", "MARKED"]
    assert await numbers(team) == await numbers(team, "rollup_months") == {"reviewed": 1, "points": 0, "counted": 0}
    await team.do("manager", reviews.unmark_reviewed, activity)
    assert (await numbers(team))["reviewed"] == 1
    await team.do("admin", reviews.unmark_reviewed, activity)
    assert (await numbers(team))["reviewed"] == 0
    await team.take({"kind": "email", "externalId": "email"})
    with pytest.raises(Invalid, match="conversations are reviewed"):
        await team.do("manager", reviews.mark_reviewed, await team.activity("email"))


async def test_marking_at_once_is_marking_once(database: str) -> None:
    team = await FilmTeam().build()
    activity = await team.activity()
    await asyncio.gather(
        *(team.do(name, reviews.mark_reviewed, activity) for name in ("manager", "admin") for _ in range(3))
    )
    assert await numbers(team) == {"reviewed": 1, "points": 0, "counted": 0}
    assert len(await team.fetch("SELECT 1 FROM reviews WHERE team_id = $1")) == 2


# E.


async def scored(team: FilmTeam, *names: str) -> Any:
    """A template, with a submitted card of 80 points by each."""
    template = await team.do("manager", scorecard_templates.create_template, "Discovery", None, QUESTIONS)
    for name in names:
        draft = CardDraft(await team.activity(), template.id, answers(4, agenda=True, advice="More questions"))
        card = await team.do(name, scorecards.save_card, replace(draft, note=f"By {name}"), now=NOW)
        await team.do(name, scorecards.submit_card, card.id, expected_revision=None, now=NOW)
    return template


async def test_a_film_follows_and_waits(database: str) -> None:
    team = await FilmTeam().build()
    await scored(team, "manager", "rep")
    made = await comment(team, "manager")
    before = {"reviewed": 1, "points": 833_333, "counted": 1}
    assert await numbers(team) == before
    await team.take({"kind": "conversation", "externalId": "conversation", "durationSeconds": 60}, user="peer")
    for table in ("films", "comments", "scorecards", "reviews"):
        rows = await team.fetch(f"SELECT DISTINCT user_id FROM {table} WHERE team_id = $1")
        assert [row["user_id"] for row in rows] == [team.users["peer"]], table
    rows = await team.fetch("SELECT user_id, conversations_reviewed AS n FROM rollup_days WHERE team_id = $1")
    assert {row["user_id"]: row["n"] for row in rows} == {team.users["peer"]: 1, team.users["rep"]: 0}
    await team.take({"kind": "conversation", "externalId": "conversation", "deleted": True})
    assert await numbers(team) == {"reviewed": 0, "points": 0, "counted": 0}
    viewer = await team.viewer("manager")
    async with acquire(team.team_id) as connection:
        sight = await access_film.see_film(connection, viewer)
        assert not await comments.comments_by_id(connection, sight, [made.id])
        assert await scorecards.count_cards(connection, sight, scorecards.CardFilter()) == 0
    with pytest.raises(NotFound):
        await comment(team, "manager")
    await team.take({"kind": "conversation", "externalId": "conversation", "durationSeconds": 60})
    assert await numbers(team) == before
    async with acquire(team.team_id) as connection:
        assert await comments.comments_by_id(connection, sight, [made.id])


async def test_a_film_that_waits_too_long_goes(database: str) -> None:
    team = await FilmTeam().build()
    await scored(team, "manager")
    await team.take({"kind": "conversation", "externalId": "conversation", "deleted": True})

    async def prune() -> None:
        while await in_transaction(ALL_TEAMS, film_facts.prune):
            pass

    await prune()
    assert await team.fetch("SELECT 1 FROM films WHERE team_id = $1")
    async with acquire(ALL_TEAMS) as connection:
        await connection.execute(
            "UPDATE films SET away_since = now() - $2::interval WHERE team_id = $1",
            team.team_id,
            film_facts.AWAY_KEPT + timedelta(hours=1),
        )
    await prune()
    for table in ("films", "scorecards", "reviews"):
        assert not await team.fetch(f"SELECT 1 FROM {table} WHERE team_id = $1")
    await team.take({"kind": "conversation", "externalId": "conversation", "durationSeconds": 60})
    assert await numbers(team) == {"reviewed": 0, "points": 0, "counted": 0}


async def test_retention_takes_the_film_along_and_leaves_the_numbers(database: str) -> None:
    team = await FilmTeam().build()
    await scored(team, "manager")
    await comment(team, "manager")
    playlist = await team.do(
        "manager", playlists.create_playlist, PlaylistContent("Best", None, PlaylistAudience.PRIVATE, None)
    )
    await team.do("manager", playlists.add_item, playlist.id, await team.activity(), ItemContent())
    before = await numbers(team)
    async with acquire(ALL_TEAMS) as connection:
        await connection.execute("UPDATE teams SET keep_activities_days = 30 WHERE id = $1", team.team_id)
    settings = retention.TeamRetention(team.team_id, "UTC", 30, None, None)
    await retention.forget(settings, datetime(2026, 6, 1, tzinfo=UTC))
    for table in ("films", "comments", "scorecards", "reviews", "playlist_items", "activities"):
        assert not await team.fetch(f"SELECT 1 FROM {table} WHERE team_id = $1"), table
    assert await team.fetch("SELECT 1 FROM playlists WHERE team_id = $1")
    assert await numbers(team) == before


async def erase(team: FilmTeam, name: str) -> None:
    async def work(connection: Any) -> None:
        await erasure.erase_for_operator(connection, team.team_id, team.users[name], now=NOW)

    await in_transaction(team.team_id, work)

    job = await in_transaction(ALL_TEAMS, lambda connection: _claim(connection, team))
    await erasure.run(job)


async def _claim(connection: Any, team: FilmTeam) -> Any:
    job_id = await connection.fetchval(
        "SELECT id FROM jobs WHERE team_id = $1 AND kind = $2 AND state = 'SCHEDULED'", team.team_id, erasure.KIND
    )
    return await jobs.claim_job(connection, "test", job_id=job_id)


async def test_erasing_the_rep_takes_all_of_the_film(database: str) -> None:
    team = await FilmTeam().build()
    await scored(team, "manager")
    await comment(team, "manager", mention_ids=(team.users["rep"],))
    before = await numbers(team)
    await erase(team, "rep")
    for table in ("films", "comments", "scorecards", "reviews", "mentions"):
        assert not await team.fetch(f"SELECT 1 FROM {table} WHERE team_id = $1"), table
    assert await numbers(team) == before, "counts stay"


async def test_erasing_a_coach_takes_the_words_and_leaves_the_numbers(database: str) -> None:
    team = await FilmTeam().build()
    await scored(team, "manager", "lead")
    made = await comment(team, "manager", "Secret words")
    await team.do("manager", comments.edit_comment, made.id, CommentChange("Other words", None, None, None), now=NOW)
    await comment(team, "rep", "Thank you", parent_id=made.id, mention_ids=(team.users["manager"],))
    await team.do("manager", playlists.create_playlist, PlaylistContent("Best", None, PlaylistAudience.TEAM, None))
    before = await numbers(team)
    await erase(team, "manager")
    rows = await team.fetch("SELECT author_id, body FROM comments WHERE team_id = $1 ORDER BY id")
    assert [row["body"] for row in rows] == [None, "Thank you"]
    for table in ("comment_versions", "mentions", "playlists"):
        assert not await team.fetch(f"SELECT 1 FROM {table} WHERE team_id = $1"), table
    rows = await team.fetch(
        "SELECT scorer_id, note, answers, score FROM scorecards WHERE team_id = $1 ORDER BY scorer_id = $2 DESC",
        team.users["manager"],
    )
    assert (rows[0]["note"], rows[0]["answers"]) == (None, '{"agenda": {"value": true}, "opening": {"value": 4}}')
    assert rows[1]["note"] == "By lead"
    assert "More questions" in rows[1]["answers"]
    assert await numbers(team) == before
    films = await team.fetch("SELECT comment_count, scorecard_count, score_count FROM films WHERE team_id = $1")
    assert [tuple(row) for row in films] == [(1, 2, 2)]


async def test_an_export_tells_what_was_said_and_scored(database: str) -> None:
    team = await FilmTeam().build()
    await scored(team, "manager")
    made = await comment(team, "rep", "First", mention_ids=(team.users["manager"],))
    await team.do("rep", comments.edit_comment, made.id, CommentChange("Second", None, None, None), now=NOW)
    await comment(team, "manager", "Well done")
    export = await personal_data.begin_export(await team.viewer("rep"), team.users["rep"])
    text = b"".join([lines async for lines in export.lines()]).decode()
    for part in ("First", "Second", "Well done", "More questions", '"record":"review"', '"record":"scorecard"'):
        assert part in text, part
    export = await personal_data.begin_export(await team.viewer("manager"), team.users["manager"])
    text = b"".join([lines async for lines in export.lines()]).decode()
    assert '"record":"mention"' in text
    assert "Well done" in text
    assert '"Second"' not in text, "what the rep said is the rep's"


# F.


async def test_closed_books_stay_closed(database: str) -> None:
    team = await FilmTeam().build()
    async with acquire(ALL_TEAMS) as connection:
        await connection.execute(
            "UPDATE teams SET activities_from = '2026-03-15', activities_from_at = '2026-03-15T00:00Z' WHERE id = $1",
            team.team_id,
        )
    await scored(team, "manager")
    rows = await team.fetch("SELECT reviewed, score_count FROM activities WHERE team_id = $1")
    assert [tuple(row) for row in rows] == [(True, 1)]
    assert await numbers(team) == {"reviewed": 0, "points": 0, "counted": 0}
    async with acquire(ALL_TEAMS) as connection, connection.transaction():
        await rollups.rebuild(connection, team.team_id)
    assert await numbers(team) == {"reviewed": 0, "points": 0, "counted": 0}


async def test_the_chain_of_the_audit_log_holds(database: str) -> None:
    team = await FilmTeam().build()
    await scored(team, "manager")
    card = (await team.fetch("SELECT id FROM scorecards WHERE team_id = $1"))[0]["id"]
    await team.do("admin", scorecards.remove_card, card)
    async with acquire(team.team_id) as connection:
        found = await audit.verify(connection, team.team_id)
    assert (found.entries, found.broken_at) == (2, None)


async def test_people_beyond_sight_are_names_alone(database: str) -> None:
    team = await FilmTeam().build()
    viewer = await team.viewer("rep")
    async with acquire(team.team_id) as connection:
        found = await access_film.list_colleagues(
            connection, viewer, team.users["rep"], to_ask=False, search=None, after=None, limit=50
        )
        assert [one.name for one in found] == ["Admin", "Lead", "Manager", "Rep"]
        found = await access_film.list_colleagues(
            connection, viewer, team.users["rep"], to_ask=True, search=None, after=None, limit=50
        )
        assert [one.name for one in found] == ["Admin", "Boss", "Lead", "Manager", "Peer"]
        found = await access_film.list_colleagues(
            connection, viewer, team.users["rep"], to_ask=True, search="EE", after=None, limit=50
        )
        assert [one.name for one in found] == ["Peer"]
        seen = await people.users_by_id(
            connection, Sight(team.team_id, False, frozenset({viewer.user_id})), [team.users["manager"]]
        )
    assert seen == [None]
