"""Playlists, and requests for feedback.

Invariants:
A. A playlist is found by its owner and its audience; it shows each of them just what they may see anyway, and neither
   number, order nor cursor tells of the rest.
B. Only the owner of an activity opens it by a request; who is asked sees this one activity and what is said of it, no
   scorecards, no other activity, no list, and nothing once the request has ended.
C. A request ends once, by who may end it so.
"""

from __future__ import annotations

import asyncio
from datetime import date
from typing import Any
from uuid import UUID

import pytest

from domain import access_film, activities, comments, feedback, playlists, scorecard_templates, scorecards
from domain.activities import ActivityFilter
from domain.comments import NewComment
from domain.database import ALL_TEAMS, acquire
from domain.errors import Conflict, Forbidden, Invalid, NotFound, Refused
from domain.feedback import NewRequest, Reply, RequestFilter
from domain.models.base import new_id
from domain.models.film_scorecards import Relation
from domain.models.film_sharing import FeedbackState, PlaylistAudience
from domain.paging import page_request
from domain.playlists import ItemContent, PlaylistContent
from domain.scorecards import CardDraft
from tests.domain.film_team import NOW, QUESTIONS, FilmTeam, answers

PRIVATE, GROUP, TEAM = PlaylistAudience
TODAY = date(2026, 3, 20)


def content(name: str = "Best", audience: PlaylistAudience = PRIVATE, group_id: UUID | None = None) -> PlaylistContent:
    return PlaylistContent(name, None, audience, group_id)


async def found_by(team: FilmTeam, name: str) -> list[str]:
    viewer = await team.viewer(name)
    rows = await team.fetch("SELECT * FROM playlists WHERE team_id = $1")
    async with acquire(team.team_id) as connection:
        sight = await access_film.see_playlists(connection, viewer)
        page = await playlists.list_playlists(connection, sight, None, page_request(50, None))
        assert await playlists.count_playlists(connection, sight, None) == len(page.nodes)
    seen = {
        row["id"]
        for row in rows
        if sight.sees(team.team_id, row["owner_id"], PlaylistAudience(row["audience"]), row["group_id"])
    }
    assert seen == {one.id for one in page.nodes}
    return [one.name for one in page.nodes]


async def items_for(team: FilmTeam, name: str, playlist_id: UUID, size: int = 50) -> list[str]:
    """The notes of what somebody sees, page by page, forwards and backwards."""
    viewer = await team.viewer(name)
    async with acquire(team.team_id) as connection:
        film = await access_film.see_film(connection, viewer)
        notes: list[str] = []
        cursor = None
        while True:
            page = await playlists.list_items(connection, film, playlist_id, page_request(size, cursor))
            notes += [one.note or "" for one in page.nodes]
            if not page.has_next:
                break
            cursor = page.cursors[-1]
        assert await playlists.count_items(connection, film, playlist_id) == len(notes)
        back = await playlists.list_items(connection, film, playlist_id, page_request(None, None, last=50))
        assert [one.note or "" for one in back.nodes] == notes
    return notes


async def test_who_finds_a_playlist(database: str) -> None:
    team = await FilmTeam().build()
    await team.do("lead", playlists.create_playlist, content("private"))
    await team.do("manager", playlists.create_playlist, content("team", TEAM))
    await team.do("manager", playlists.create_playlist, content("region", GROUP, team.groups["region"]))
    await team.do("peer", playlists.create_playlist, content("group", GROUP, team.groups["group"]))
    expected = {
        "lead": ["group", "private", "region", "team"],
        "rep": ["group", "region", "team"],
        "manager": ["region", "team"],
        "other": ["team"],
        "admin": ["group", "region", "team"],
    }
    for name, names in expected.items():
        assert await found_by(team, name) == names, name
    for name, group in (("peer", "branch"), ("lead", "region"), ("rep", "region")):
        with pytest.raises(NotFound, match="No such group"):
            await team.do(name, playlists.create_playlist, content("x", GROUP, team.groups[group]))
    with pytest.raises(NotFound, match="No such group"):
        await team.do("admin", playlists.create_playlist, content("x", GROUP, new_id()))
    with pytest.raises(Invalid, match="audience GROUP"):
        await team.do("manager", playlists.create_playlist, content("x", TEAM, team.groups["region"]))


async def test_a_playlist_shows_what_each_may_see(database: str) -> None:
    team = await FilmTeam().build()
    await team.take({"kind": "conversation", "externalId": "peers", "durationSeconds": 60}, user="peer")
    await team.take({"kind": "conversation", "externalId": "others", "durationSeconds": 60}, user="other")
    playlist = (await team.do("admin", playlists.create_playlist, content("all", TEAM))).id
    for name in ("conversation", "others", "peers", "conversation"):
        item = ItemContent(note=f"{name} {len(await items_for(team, 'admin', playlist))}")
        await team.do("admin", playlists.add_item, playlist, await team.activity(name), item)
    assert await items_for(team, "admin", playlist) == ["conversation 0", "others 1", "peers 2", "conversation 3"]
    for name, notes in {
        "manager": ["conversation 0", "peers 2", "conversation 3"],
        "peer": ["peers 2"],
        "rep": ["conversation 0", "conversation 3"],
        "rival": ["others 1"],
        "boss": [],
    }.items():
        for size in (1, 50):
            assert await items_for(team, name, playlist, size) == notes, name
    with pytest.raises(Forbidden, match="owner"):
        await team.do("manager", playlists.add_item, playlist, await team.activity(), ItemContent())
    # Nobody puts in what they may not see.
    own = (await team.do("peer", playlists.create_playlist, content())).id
    with pytest.raises(NotFound, match="No such activity"):
        await team.do("peer", playlists.add_item, own, await team.activity(), ItemContent())
    with pytest.raises(NotFound, match="No such playlist"):
        await team.do("manager", playlists.add_item, own, await team.activity(), ItemContent())


async def test_moments_and_order(database: str) -> None:
    team = await FilmTeam().build()
    playlist = (await team.do("manager", playlists.create_playlist, content())).id
    activity = await team.activity()
    for number in range(4):
        item = ItemContent(number, number + 1, str(number))
        await team.do("manager", playlists.add_item, playlist, activity, item)
    for wrong in (ItemContent(5, 5), ItemContent(None, 601), ItemContent(601, None), ItemContent(None, 0)):
        with pytest.raises(Invalid):
            await team.do("manager", playlists.add_item, playlist, activity, wrong)
    rows = await team.fetch("SELECT id, note FROM playlist_items WHERE team_id = $1")
    ids = {row["note"]: row["id"] for row in rows}

    async def move(note: str, after: str | None) -> None:
        await team.do(
            "manager",
            playlists.update_item,
            ids[note],
            ItemContent(note=note),
            after_id=None if after is None else ids[after],
            move=True,
        )

    await move("3", None)
    await move("0", "2")
    assert await items_for(team, "manager", playlist) == ["3", "1", "2", "0"]
    with pytest.raises(NotFound, match="in this playlist"):
        await team.do("manager", playlists.update_item, ids["0"], ItemContent(), after_id=new_id(), move=True)
    await team.do("manager", playlists.remove_item, ids["1"])
    with pytest.raises(NotFound):
        await team.do("manager", playlists.remove_item, ids["1"])
    for name in ("rep", "admin"):
        with pytest.raises(NotFound):
            await team.do(name, playlists.remove_item, ids["2"])
    await team.do("manager", playlists.remove_playlist, playlist)
    assert not await team.fetch("SELECT 1 FROM playlist_items WHERE team_id = $1")


# Requests for feedback.


async def ask(team: FilmTeam, *names: str, by: str = "rep", **more: Any) -> list[Any]:
    new = NewRequest(await team.activity(), tuple(team.users[name] for name in names), **more)
    return await team.do(by, feedback.ask, new, today=TODAY)


async def sees(team: FilmTeam, name: str, external_id: str = "conversation") -> bool:
    viewer, activity = await team.viewer(name), await team.activity(external_id)
    async with acquire(team.team_id) as connection:
        sight = await access_film.see_film(connection, viewer)
        found = (await activities.film_by_id(connection, sight, [activity]))[0]
        listed = await activities.count_activities(connection, sight.users, ActivityFilter())
    owner = (await team.fetch("SELECT user_id FROM activities WHERE team_id = $1 AND id = $2", activity))[0]["user_id"]
    assert sight.sees(team.team_id, activity, owner) is (found is not None)
    if name in ("peer", "boss", "other"):
        assert listed == 0, "a request leads to no list"
    return found is not None


async def test_a_request_opens_one_activity_until_it_ends(database: str) -> None:
    team = await FilmTeam().build()
    await team.take({"kind": "conversation", "externalId": "second", "durationSeconds": 60})
    assert not await sees(team, "peer")
    (request,) = await ask(team, "peer", message="What do you think?", due_on=TODAY)
    assert await sees(team, "peer")
    assert not await sees(team, "peer", "second")
    assert not await sees(team, "other")
    made = await team.do("peer", comments.add_comment, NewComment(await team.activity(), "Slower", 30))
    assert await team.do("peer", access_film.relation_to, team.users["rep"]) is Relation.PEER
    await team.do(
        "rep", comments.add_comment, NewComment(await team.activity(), "Why?", mention_ids=(team.users["peer"],))
    )
    # Another's answer answers nothing.
    theirs = await team.do("manager", comments.add_comment, NewComment(await team.activity(), "Faster"))
    with pytest.raises(NotFound, match="no such answer"):
        await team.do(
            "peer", feedback.end_request, request.id, Reply(FeedbackState.ANSWERED, comment_id=theirs.id), now=NOW
        )
    with pytest.raises(Invalid, match="name one"):
        await team.do("peer", feedback.end_request, request.id, Reply(FeedbackState.ANSWERED), now=NOW)
    answered = Reply(FeedbackState.ANSWERED, comment_id=made.id)
    for name in ("rep", "manager", "admin"):
        with pytest.raises(NotFound):
            await team.do(name, feedback.end_request, request.id, answered, now=NOW)
    ended = await team.do("peer", feedback.end_request, request.id, answered, now=NOW)
    assert (ended.state, ended.comment_id, ended.closed_at) == (FeedbackState.ANSWERED, made.id, NOW)
    assert not await sees(team, "peer")
    with pytest.raises(NotFound):
        await team.do("peer", comments.add_comment, NewComment(await team.activity(), "And"))
    with pytest.raises(Conflict, match="answered"):
        await team.do("rep", feedback.end_request, request.id, Reply(FeedbackState.WITHDRAWN), now=NOW)
    entries = await team.fetch("SELECT action FROM audit_entries WHERE team_id = $1")
    assert [entry["action"] for entry in entries] == ["FEEDBACK_REQUESTED"]


@pytest.mark.parametrize("state", [FeedbackState.DECLINED, FeedbackState.WITHDRAWN])
async def test_declining_and_withdrawing_close_the_door(database: str, state: FeedbackState) -> None:
    team = await FilmTeam().build()
    (request,) = await ask(team, "peer")
    ender = "peer" if state is FeedbackState.DECLINED else "rep"
    wrong = "rep" if ender == "peer" else "peer"
    with pytest.raises(NotFound):
        await team.do(wrong, feedback.end_request, request.id, Reply(state), now=NOW)
    outcomes = await asyncio.gather(
        *(team.do(ender, feedback.end_request, request.id, Reply(state, reason="Busy"), now=NOW) for _ in range(3)),
        return_exceptions=True,
    )
    assert sorted(type(one).__name__ for one in outcomes) == ["Conflict", "Conflict", "FeedbackRequest"]
    assert not await sees(team, "peer")
    # Asked again, it is open again.
    await ask(team, "peer")
    assert await sees(team, "peer")


async def test_a_scorecard_by_who_was_asked(database: str) -> None:
    team = await FilmTeam().build()
    template = (await team.do("manager", scorecard_templates.create_template, "Discovery", None, QUESTIONS)).id
    draft = CardDraft(await team.activity(), template, answers())
    mine = await team.do("manager", scorecards.save_card, draft, now=NOW)
    await team.do("manager", scorecards.submit_card, mine.id, expected_revision=None, now=NOW)
    (request,) = await ask(team, "peer")
    viewer = await team.viewer("peer")
    async with acquire(team.team_id) as connection:
        sight = await access_film.see_film(connection, viewer)
        assert not await scorecards.cards_by_id(connection, sight, [mine.id]), "the film is shown, not the marks"
    card = await team.do("peer", scorecards.save_card, draft, now=NOW)
    reply = Reply(FeedbackState.ANSWERED, scorecard_id=card.id)
    with pytest.raises(NotFound):
        await team.do("peer", feedback.end_request, request.id, reply, now=NOW)
    submitted = await team.do("peer", scorecards.submit_card, card.id, expected_revision=None, now=NOW)
    assert submitted.relation is Relation.PEER
    ended = await team.do(
        "peer", feedback.end_request, request.id, Reply(FeedbackState.ANSWERED, scorecard_id=card.id), now=NOW
    )
    assert ended.scorecard_id == card.id
    async with acquire(team.team_id) as connection:
        sight = await access_film.see_film(connection, await team.viewer("rep"))
        assert await scorecards.cards_by_id(connection, sight, [card.id])
        sight = await access_film.see_film(connection, viewer)
        assert not await scorecards.cards_by_id(connection, sight, [card.id]), "the door is closed"


async def test_who_can_be_asked_by_whom(database: str) -> None:
    team = await FilmTeam().build()
    requests = await ask(team, "peer", "boss", "manager", "lead", "admin")
    assert len(requests) == 5
    for names in (("other",), ("rival",), ("rep",), ("peer", "other")):
        with pytest.raises(Refused, match="no such colleague"):
            await ask(team, *names)
    for name in ("manager", "admin", "peer"):
        with pytest.raises(NotFound):
            await ask(team, "lead", by=name)
    with pytest.raises(Invalid, match="past"):
        await ask(team, "lead", due_on=date(2026, 3, 19))
    with pytest.raises(Invalid, match="1 to 10"):
        await ask(team)
    async with acquire(ALL_TEAMS) as connection:
        await connection.execute("UPDATE users SET active = false WHERE id = $1", team.users["peer"])
    with pytest.raises(Refused):
        await ask(team, "peer")
    # Asked twice at once is asked once.
    await asyncio.gather(*(ask(team, "lead", message="Again") for _ in range(3)))
    rows = await team.fetch("SELECT count(*) FROM feedback_requests WHERE team_id = $1")
    assert rows[0]["count"] == 5


async def test_requests_are_for_those_two(database: str) -> None:
    team = await FilmTeam().build()
    (request,) = await ask(team, "peer")
    for name, received, sent in (("rep", 0, 1), ("peer", 1, 0), ("manager", 0, 0), ("admin", 0, 0)):
        viewer = await team.viewer(name)
        async with acquire(team.team_id) as connection:
            assert await feedback.count_requests(connection, viewer, RequestFilter(True)) == received
            assert await feedback.count_requests(connection, viewer, RequestFilter(False)) == sent
            assert len(await feedback.requests_by_id(connection, viewer, [request.id])) == received + sent
            page = await feedback.list_requests(connection, viewer, RequestFilter(), page_request(5, None))
            assert len(page.nodes) == received + sent


async def test_a_request_ends_when_the_activity_changes_hands(database: str) -> None:
    team = await FilmTeam().build()
    await ask(team, "peer", "boss")
    await team.take({"kind": "conversation", "externalId": "conversation", "durationSeconds": 60}, user="peer")
    assert not await team.fetch("SELECT 1 FROM feedback_requests WHERE team_id = $1")
    assert not await sees(team, "boss")
