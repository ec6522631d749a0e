"""Scorecards, their templates, and calibrations.

Invariants:
A. A card keeps the version that it was begun on, and its score, whatever is published later.
B. A draft is its scorer's alone. A submitted card is seen by the rep, its scorer, and who sees the rep's data.
C. Submitting at once is submitting once; what is submitted is not changed.
D. The relation is what it was when the card was submitted.
E. While a calibration is open nobody sees another's card of it, and its scores count nowhere; the last card closes it.
F. Templates are made with MANAGE_GOALS, changed by who made them and with MANAGE_TEAM.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

import pytest

from domain import access_film, calibrations, comments, scorecard_templates, scorecards
from domain.access_film import ScorecardPlace
from domain.calibrations import NewRound
from domain.comments import NewComment
from domain.database import ALL_TEAMS, acquire
from domain.errors import Conflict, Forbidden, Invalid, NotFound, Refused
from domain.models.film_scorecards import Relation
from domain.paging import page_request
from domain.scorecard_rules import QuestionKind
from domain.scorecard_templates import TemplateChange, create_template, update_template
from domain.scorecards import Card, CardDraft, CardFilter
from tests.domain.film_team import NOW, QUESTIONS, FilmTeam, answers
from tests.domain.test_film import numbers
from tests.factories import make_role


async def template_of(team: FilmTeam, name: str = "Discovery") -> UUID:
    found: UUID = (await team.do("manager", create_template, name, None, QUESTIONS)).id
    return found


async def save(team: FilmTeam, name: str, template: UUID, opening: int | None = 4, **more: Any) -> Card:
    draft = CardDraft(await team.activity(), template, answers(opening))
    return await team.do(name, scorecards.save_card, replace(draft, **more), now=NOW)


async def submit(team: FilmTeam, name: str, card_id: UUID) -> Card:
    return await team.do(name, scorecards.submit_card, card_id, expected_revision=None, now=NOW)


async def seen(team: FilmTeam, name: str) -> set[UUID]:
    """The scorecards that somebody sees: by the list, by their ids, and by the predicate, which agree."""
    viewer = await team.viewer(name)
    rows = await team.fetch(
        "SELECT s.*, c.state = 'OPEN' AS open FROM scorecards s LEFT JOIN calibrations c ON c.id = s.calibration_id "
        "WHERE s.team_id = $1"
    )
    async with acquire(team.team_id) as connection:
        sight = await access_film.see_film(connection, viewer)
        page = await scorecards.list_cards(connection, sight, CardFilter(), page_request(50, None))
        by_id = await scorecards.cards_by_id(connection, sight, [row["id"] for row in rows])
        assert await scorecards.count_cards(connection, sight, CardFilter()) == len(page.nodes)
    places = {
        row["id"]
        for row in rows
        if sight.sees_scorecard(
            team.team_id,
            ScorecardPlace(
                row["activity_id"], row["user_id"], row["scorer_id"], row["state"] == "SUBMITTED", bool(row["open"])
            ),
        )
    }
    found = {card.id for card in page.nodes}
    assert found == set(by_id) == places
    return found


async def test_a_card_keeps_its_version(database: str) -> None:
    team = await FilmTeam().build()
    template = await template_of(team)
    old = await save(team, "manager", template)
    draft = await save(team, "lead", template)
    assert (await submit(team, "manager", old.id)).score == Decimal("83.3333")
    other = (replace(QUESTIONS[0], weight=Decimal(1), steps=10), *QUESTIONS[1:])
    changed = await team.do(
        "manager",
        update_template,
        template,
        TemplateChange(questions=other, expected_version=1),
        now=NOW,
    )
    assert changed.current_version == 2
    with pytest.raises(Conflict, match="version 2"):
        await team.do(
            "manager",
            update_template,
            template,
            TemplateChange(name="x", expected_version=1),
            now=NOW,
        )
    # The same questions again are no version.
    same = await team.do("manager", update_template, template, TemplateChange(questions=other), now=NOW)
    assert same.current_version == 2
    fresh = await save(team, "admin", template, 10)
    assert (fresh.version, (await submit(team, "admin", fresh.id)).score) == (2, 100)
    # A draft that was begun goes on as it was begun.
    draft = await save(team, "lead", template, 5)
    assert draft.version == 1
    with pytest.raises(Refused, match="1 to 5"):
        await save(team, "lead", template, 10)
    assert (await submit(team, "lead", draft.id)).score == 100
    rows = await team.fetch("SELECT version, score FROM scorecards WHERE team_id = $1 ORDER BY created_at, id")
    assert [(row["version"], row["score"]) for row in rows] == [(1, Decimal("83.3333")), (1, 100), (2, 100)]
    async with acquire(team.team_id) as connection:
        versions = (await scorecard_templates.versions_of(connection, team.team_id, [template]))[template]
    assert [one.version for one in versions] == [2, 1]
    assert versions[1].questions == tuple(
        replace(one, weight=Decimal(0)) if one.kind is QuestionKind.TEXT else one for one in QUESTIONS
    )


async def test_who_sees_a_card(database: str) -> None:
    team = await FilmTeam().build()
    template = await template_of(team)
    card = await save(team, "lead", template)
    everybody = ("rep", "manager", "admin", "lead", "peer", "rival", "boss")
    assert [name for name in everybody if await seen(team, name)] == ["lead"]
    with pytest.raises(NotFound):
        await submit(team, "manager", card.id)
    await submit(team, "lead", card.id)
    assert [name for name in everybody if await seen(team, name)] == ["rep", "manager", "admin", "lead"]
    with pytest.raises(Forbidden):
        await submit(team, "manager", card.id)
    for name in ("manager", "rep"):
        with pytest.raises(Forbidden):
            await team.do(name, scorecards.remove_card, card.id)
    assert (await numbers(team))["counted"] == 1
    await team.do("admin", scorecards.remove_card, card.id)
    assert (await numbers(team))["counted"] == 0
    entries = await team.fetch("SELECT action FROM audit_entries WHERE team_id = $1 ORDER BY position")
    assert [entry["action"] for entry in entries] == ["SCORECARD_TEMPLATE_CREATED", "SCORECARD_REMOVED"]
    for name in ("peer", "rival"):
        with pytest.raises(NotFound):
            await save(team, name, template)


async def test_submitting_at_once_is_submitting_once(database: str) -> None:
    team = await FilmTeam().build()
    template = await template_of(team)
    card = await save(team, "manager", template)
    outcomes = await asyncio.gather(*(submit(team, "manager", card.id) for _ in range(4)), return_exceptions=True)
    assert sorted(type(one).__name__ for one in outcomes) == ["Card", "Conflict", "Conflict", "Conflict"]
    assert await numbers(team) == {"reviewed": 1, "points": 833_333, "counted": 1}
    with pytest.raises(Conflict, match="submitted"):
        await save(team, "manager", template)
    # Saving at once keeps one draft.
    await asyncio.gather(*(save(team, "lead", template) for _ in range(4)))
    rows = await team.fetch("SELECT revision FROM scorecards WHERE team_id = $1 AND state = 'DRAFT'")
    assert [row["revision"] for row in rows] == [4]
    with pytest.raises(Conflict, match="revision 4"):
        await save(team, "lead", template, expected_revision=3)


async def test_what_is_required_is_answered(database: str) -> None:
    team = await FilmTeam().build()
    template = await template_of(team)
    card = await save(team, "manager", template, None)
    with pytest.raises(Refused) as refused:
        await submit(team, "manager", card.id)
    assert [(item.code, item.path[-1]) for item in refused.value.items] == [("REQUIRED", "opening")]
    assert (await numbers(team))["counted"] == 0
    await team.take({"kind": "cadence_step", "externalId": "step", "cadence": "New"})
    draft = CardDraft(await team.activity("step"), template, ())
    with pytest.raises(Invalid, match="are scored"):
        await team.do("manager", scorecards.save_card, draft, now=NOW)


async def test_the_relation_stands_as_it_was(database: str) -> None:
    team = await FilmTeam().build()
    template = await template_of(team)
    cards = {name: await save(team, name, template) for name in ("rep", "lead", "manager")}
    found = {name: (await submit(team, name, card.id)).relation for name, card in cards.items()}
    assert found == {"rep": Relation.SELF, "lead": Relation.PEER, "manager": Relation.MANAGER}
    assert (await numbers(team))["counted"] == 2, "what one says of oneself is no average"
    async with acquire(ALL_TEAMS) as connection:
        plain = await make_role(connection, team.team_id)
        await connection.execute("UPDATE users SET role_id = $2 WHERE id = $1", team.users["manager"], plain)
    rows = await team.fetch("SELECT relation FROM scorecards WHERE team_id = $1 ORDER BY relation")
    assert [row["relation"] for row in rows] == ["MANAGER", "PEER", "SELF"]


async def test_who_makes_and_changes_templates(database: str) -> None:
    team = await FilmTeam().build()
    for name in ("rep", "lead"):
        with pytest.raises(Forbidden) as refused:
            await team.do(name, create_template, "x", None, QUESTIONS)
        assert refused.value.permission == "MANAGE_GOALS"
    template = await template_of(team)
    with pytest.raises(Conflict, match="has a template"):
        await template_of(team, "discovery")
    for name in ("rep", "rival"):
        with pytest.raises(Forbidden) as refused:
            await team.do(name, update_template, template, TemplateChange(name="x"), now=NOW)
        assert refused.value.permission == "MANAGE_TEAM"
    await save(team, "lead", template)
    await team.do("admin", update_template, template, TemplateChange(archived=True), now=NOW)
    await save(team, "lead", template)
    with pytest.raises(Invalid, match="archived"):
        await save(team, "manager", template)
    again = await template_of(team, "DISCOVERY")
    with pytest.raises(Conflict, match="has a template"):
        await team.do("admin", update_template, template, TemplateChange(archived=False), now=NOW)
    assert again != template


# Calibrations.


async def begin(team: FilmTeam, template: UUID, *names: str, by: str = "manager") -> Any:
    scorers = tuple(team.users[name] for name in names)
    return await team.do(by, calibrations.start, NewRound(await team.activity(), template, scorers))


async def result_for(team: FilmTeam, name: str, round_id: UUID) -> Any:
    viewer = await team.viewer(name)
    async with acquire(team.team_id) as connection:
        sight = await access_film.see_film(connection, viewer)
        found = await calibrations.rounds_by_id(connection, sight, [round_id])
        return (await calibrations.results_of(connection, team.team_id, list(found.values()))).get(round_id)


async def test_nobody_sees_another_before_the_end(database: str) -> None:
    team = await FilmTeam().build()
    template = await template_of(team)
    found = await begin(team, template, "manager", "lead", "admin")
    cards = {}
    for name, opening in (("manager", 5), ("lead", 3)):
        cards[name] = (await save(team, name, template, opening)).id
        await submit(team, name, cards[name])
    drafts = await team.fetch("SELECT id FROM scorecards WHERE team_id = $1 AND state = 'DRAFT'")
    assert len(drafts) == 1
    for name, expected in {
        "manager": {cards["manager"]},
        "lead": {cards["lead"]},
        "admin": {drafts[0]["id"]},
        "rep": set(),
    }.items():
        assert await seen(team, name) == expected, name
    assert await numbers(team) == {"reviewed": 1, "points": 0, "counted": 0}
    assert await result_for(team, "manager", found.id) is None
    with pytest.raises(Conflict, match="belongs to a calibration"):
        await team.do("manager", scorecards.remove_card, cards["manager"])
    cards["admin"] = (await save(team, "admin", template, 1)).id
    await submit(team, "admin", cards["admin"])
    rows = await team.fetch("SELECT state, closed_at FROM calibrations WHERE team_id = $1")
    assert [tuple(row) for row in rows] == [("CLOSED", NOW)]
    for name in ("manager", "lead", "admin", "rep"):
        assert await seen(team, name) == set(cards.values()), name
    # 100, 66.6667 and 33.3333 points.
    assert await numbers(team) == {"reviewed": 1, "points": 2_000_000, "counted": 3}
    result = await result_for(team, "rep", found.id)
    scores = result.scores
    assert (scores.count, scores.mean, scores.width) == (3, Fraction("200") / 3, Fraction("66.6667"))
    spreads = {one.question.key: float(one.spread.width) for one in result.questions}
    assert spreads == {"opening": 1.0, "agenda": 0.0}
    assert [card.id for card in result.cards] == [cards["manager"], cards["lead"], cards["admin"]]


async def test_a_round_that_is_closed_by_hand(database: str) -> None:
    team = await FilmTeam().build()
    template = await template_of(team)
    found = await begin(team, template, "lead", "admin")
    card = await save(team, "admin", template)
    await submit(team, "admin", card.id)
    for name in ("peer", "rival"):
        with pytest.raises(NotFound):
            await team.do(name, calibrations.close, found.id, now=NOW)
    for name in ("lead", "rep"):
        with pytest.raises(Forbidden):
            await team.do(name, calibrations.close, found.id, now=NOW)
    await team.do("manager", calibrations.close, found.id, now=NOW)
    with pytest.raises(Conflict, match="closed"):
        await team.do("manager", calibrations.close, found.id, now=NOW)
    assert (await numbers(team))["counted"] == 1
    # The draft goes on as a card of its own.
    late = await save(team, "lead", template)
    assert (await submit(team, "lead", late.id)).calibration_id is None
    result = await result_for(team, "manager", found.id)
    assert [one.scorer_id for one in result.cards] == [team.users["admin"]]


async def test_who_may_call_whom(database: str) -> None:
    team = await FilmTeam().build()
    template = await template_of(team)
    for name in ("rep", "lead"):
        with pytest.raises(Forbidden):
            await begin(team, template, "manager", "lead", by=name)
    with pytest.raises(NotFound):
        await begin(team, template, "manager", "lead", by="rival")
    with pytest.raises(Invalid, match="does not calibrate"):
        await begin(team, template, "manager", "rep")
    with pytest.raises(Invalid, match="2 to 30"):
        await begin(team, template, "manager", "manager")
    card = await save(team, "lead", template)
    await submit(team, "lead", card.id)
    with pytest.raises(Refused) as refused:
        await begin(team, template, "manager", "lead", "peer", "rival")
    assert [item.code for item in refused.value.items] == ["ALREADY_SCORED", "SCORER_MAY_NOT_SEE", "NOT_FOUND"]
    outcomes = await asyncio.gather(
        *(begin(team, template, "manager", "admin") for _ in range(3)), return_exceptions=True
    )
    assert sorted(type(one).__name__ for one in outcomes) == ["Calibration", "Conflict", "Conflict"]


async def test_a_report_over_rounds(database: str) -> None:
    team = await FilmTeam().build()
    template = await template_of(team)
    given = [(5, 4), (3, 2), (5, 5)]
    for number, openings in enumerate(given):
        name = f"c{number}"
        await team.take({"kind": "conversation", "externalId": name, "durationSeconds": 60})
        activity = await team.activity(name)
        scorers = (team.users["manager"], team.users["lead"])
        await team.do("manager", calibrations.start, NewRound(activity, template, scorers))
        for scorer, opening in zip(("manager", "lead"), openings, strict=True):
            card = await team.do(scorer, scorecards.save_card, CardDraft(activity, template, answers(opening)), now=NOW)
            await submit(team, scorer, card.id)
    viewer = await team.viewer("manager")
    async with acquire(team.team_id) as connection:
        sight = await access_film.see_film(connection, viewer)
        day = NOW.date()
        found = await calibrations.report(connection, sight, template, "UTC", day, day)
        empty = await calibrations.report(connection, sight, template, "UTC", date(2026, 1, 1), date(2026, 1, 2))
    assert (found.rounds, found.scores) == (3, 6)
    # 100 and 83.3333; 66.6667 and 50; 100 and 100.
    bias = {one.scorer: (one.count, round(float(one.mean), 3)) for one in found.scorers}
    assert bias == {team.users["manager"]: (3, 11.111), team.users["lead"]: (3, -11.111)}
    values = [100, 250 / 3, 200 / 3, 50, 100, 100]
    expected = sum((a - b) ** 2 for a in values for b in values) / 30
    observed = 2 * ((50 / 3) ** 2 * 2) / 6
    assert found.alpha == pytest.approx(1 - observed / expected, abs=1e-4)
    assert (empty.rounds, empty.alpha, empty.mean_width, empty.scorers) == (0, None, None, ())


async def test_an_average_in_the_open_round_gives_nobody_away(database: str) -> None:
    """Facts of the activity and what is shown of the film are counted with the round closed."""
    team = await FilmTeam().build()
    template = await template_of(team)
    await begin(team, template, "manager", "lead")
    card = await save(team, "manager", template)
    await submit(team, "manager", card.id)
    await team.do("rep", comments.add_comment, NewComment(await team.activity(), "Hm"))
    rows = await team.fetch("SELECT score_total, score_count FROM films WHERE team_id = $1")
    assert [tuple(row) for row in rows] == [(0, 0)]
