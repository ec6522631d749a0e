"""Scorecards: cards that are filled for an activity, by a template (domain/scorecard_templates.py).

A card keeps the version that it was begun on, and so its score, for
good. There is one card for each activity, template and scorer: a draft that its scorer alone sees, then submitted.
What a scorer is to the rep (self, peer, manager) is found at every saving and stands from the submission on, whatever
changes in the team later. A submitted card is not changed; its scorer or an Admin removes it, and it can be filled
anew. Two submissions at once are one: the second finds it submitted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from domain import access_film, audit, film_facts, reviews
from domain.access import Viewer
from domain.access_film import FilmSight, see_film
from domain.audit import AuditAction, NewEntry
from domain.calibration_rounds import close_if_complete, open_round_of
from domain.errors import Conflict, Forbidden, Invalid, NotFound
from domain.film import SCORED_KINDS, check_optional_text, open_film
from domain.film_facts import LockedFilm
from domain.models.base import new_id
from domain.models.film import ReviewWay
from domain.models.film_scorecards import Relation, ScorecardState
from domain.paging import Page, PageRequest, decode_cursor, encode_cursor, page_of
from domain.scorecard_rules import Answer, check_answers, score
from domain.scorecard_templates import get_template, get_version

if TYPE_CHECKING:
    from domain.database import Connection

NOTE_LIMIT = 10_000


@dataclass(frozen=True, slots=True)
class Card:
    """A scorecard as its table has it."""

    id: UUID
    team_id: UUID
    activity_id: UUID
    user_id: UUID
    scorer_id: UUID
    template_id: UUID
    version: int
    calibration_id: UUID | None
    relation: Relation
    state: ScorecardState
    answers: tuple[Answer, ...]
    note: str | None
    score: Decimal | None
    revision: int
    created_at: datetime
    changed_at: datetime
    submitted_at: datetime | None

    @classmethod
    def of(cls, row: Any) -> Card:
        """From its row; answers in the order of their keys."""
        held = {name: row[name] for name in cls.__slots__}  # type: ignore[attr-defined]
        kept: Mapping[str, Mapping[str, Any]] = orjson.loads(row["answers"])
        held["answers"] = tuple(Answer.of_json(key, kept[key]) for key in sorted(kept))
        held["relation"], held["state"] = Relation(row["relation"]), ScorecardState(row["state"])
        return cls(**held)


@dataclass(frozen=True, slots=True)
class CardDraft:
    """What a scorer has answered so far.

    Args:
        activity_id: Of what.
        template_id: By which template.
        answers: All answers; those of before are replaced.
        note: What is to be said of the whole.
        expected_revision: The revision that the scorer saw.
    """

    activity_id: UUID
    template_id: UUID
    answers: tuple[Answer, ...]
    note: str | None = None
    expected_revision: int | None = None


async def save_card(connection: Connection, viewer: Viewer, draft: CardDraft, *, now: datetime) -> Card:
    """Begin a card or go on with it, in the caller's transaction. Who is called to a calibration that is open begins
    the card of that round, whatever became of an earlier draft: nobody scores beside it.

    Raises:
        NotFound: the activity is not in sight, or there is no such template.
        Invalid: the activity is nothing to be scored, or the template is archived.
        Refused: answers do not fit their questions.
        Conflict: the card is submitted, or has been saved elsewhere since.
    """
    film, _ = await open_film(connection, viewer, draft.activity_id)
    if film.activity.kind not in SCORED_KINDS:
        raise Invalid("activityId: conversations, calls, meetings and emails are scored.", path=("input", "activityId"))
    card = await _own_card(connection, viewer, draft.activity_id, draft.template_id)
    calibration_id = None
    if card is not None:
        _check_open(card, draft.expected_revision)
        version = card.version
    elif (called := await open_round_of(connection, viewer, draft.activity_id, draft.template_id)) is not None:
        calibration_id, version = called
    else:
        version = await _version_to_fill(connection, viewer, draft.template_id)
    questions = (await get_version(connection, viewer.team_id, draft.template_id, version)).questions
    answers = check_answers(questions, draft.answers, complete=False)
    note = check_optional_text(draft.note, "note", NOTE_LIMIT)
    relation = await access_film.relation_to(connection, viewer, film.activity.user_id)
    row = await connection.fetchrow(
        """
        INSERT INTO scorecards AS s
            (id, team_id, activity_id, user_id, scorer_id, template_id, version, relation, answers, note, changed_at,
            calibration_id)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
        ON CONFLICT (team_id, activity_id, scorer_id, template_id) DO UPDATE
        SET answers = EXCLUDED.answers, note = EXCLUDED.note, relation = EXCLUDED.relation,
            changed_at = EXCLUDED.changed_at, revision = s.revision + 1
        RETURNING *
        """,
        new_id(),
        viewer.team_id,
        draft.activity_id,
        film.activity.user_id,
        viewer.user_id,
        draft.template_id,
        version,
        relation.value,
        orjson.dumps({answer.key: answer.to_json() for answer in answers}).decode(),
        note,
        now,
        calibration_id,
    )
    return Card.of(row)


def _check_open(card: Card, expected_revision: int | None) -> None:
    if card.state is ScorecardState.SUBMITTED:
        raise Conflict("The scorecard is submitted; remove it to fill it anew.", path=("input", "scorecardId"))
    if expected_revision not in (None, card.revision):
        raise Conflict(
            f"expectedRevision: the scorecard is at revision {card.revision}; look at it again.",
            path=("input", "expectedRevision"),
        )


async def _version_to_fill(connection: Connection, viewer: Viewer, template_id: UUID) -> int:
    template = await get_template(connection, viewer.team_id, template_id)
    if template.archived_at is not None:
        raise Invalid("templateId: this template is archived; choose another.", path=("input", "templateId"))
    return template.current_version


async def _own_card(connection: Connection, viewer: Viewer, activity_id: UUID, template_id: UUID) -> Card | None:
    """Served by scorecards_scorer_key."""
    row = await connection.fetchrow(
        "SELECT * FROM scorecards WHERE team_id = $1 AND activity_id = $2 AND scorer_id = $3 AND template_id = $4",
        viewer.team_id,
        activity_id,
        viewer.user_id,
        template_id,
    )
    return None if row is None else Card.of(row)


async def _held(connection: Connection, viewer: Viewer, card_id: UUID) -> tuple[Card, LockedFilm]:
    """A card in sight, with its film held.

    Raises:
        NotFound: it is not in sight.
    """
    path = ("input", "scorecardId")
    sight = await see_film(connection, viewer)
    found = (await cards_by_id(connection, sight, [card_id])).get(card_id)
    if found is None:
        raise NotFound("No such scorecard.", path=path)
    film, sight = await open_film(connection, viewer, found.activity_id, path=path)
    card = (await cards_by_id(connection, sight, [card_id])).get(card_id)
    if card is None:
        raise NotFound("No such scorecard.", path=path)
    return card, film


async def submit_card(
    connection: Connection, viewer: Viewer, card_id: UUID, *, expected_revision: int | None, now: datetime
) -> Card:
    """Submit the viewer's own draft, in the caller's transaction: it is scored, and counts from now on; in a
    calibration when that is closed, which the last submission does.

    Raises:
        NotFound: it is not in sight.
        Conflict: it is submitted already, or has been saved elsewhere since.
        Refused: required questions are not answered; an error for each.
    """
    card, film = await _held(connection, viewer, card_id)
    if card.scorer_id != viewer.user_id:
        raise Forbidden("A scorecard is submitted by its scorer.", permission="scorer")
    _check_open(card, expected_revision)
    questions = (await get_version(connection, viewer.team_id, card.template_id, card.version)).questions
    answers = check_answers(questions, card.answers, complete=True)
    relation = await access_film.relation_to(connection, viewer, film.activity.user_id)
    row = await connection.fetchrow(
        "UPDATE scorecards SET state = 'SUBMITTED', score = $3, relation = $4, submitted_at = $5, changed_at = $5, "
        "revision = revision + 1 WHERE team_id = $1 AND id = $2 RETURNING *",
        viewer.team_id,
        card_id,
        score(questions, answers),
        relation.value,
        now,
    )
    if card.calibration_id is not None:
        await close_if_complete(connection, viewer.team_id, card.calibration_id, now=now)
    await reviews.record_review(connection, viewer, film, relation, ReviewWay.SCORECARD)
    await film_facts.settle(connection, viewer.team_id, film)
    return Card.of(row)


async def remove_card(connection: Connection, viewer: Viewer, card_id: UUID) -> None:
    """Take a card away, in the caller's transaction: the viewer's own, or anybody's as Admin.

    Raises:
        NotFound: it is not in sight.
        Forbidden: it is somebody else's, and the viewer is not an Admin.
        Conflict: it belongs to a calibration.
    """
    card, film = await _held(connection, viewer, card_id)
    if not access_film.may_remove(viewer, card.scorer_id):
        raise Forbidden("A scorecard is removed by its scorer, or by an Admin.", permission="scorer")
    if card.calibration_id is not None and card.state is ScorecardState.SUBMITTED:
        raise Conflict("The scorecard belongs to a calibration, which would be another one without it.")
    await connection.execute("DELETE FROM scorecards WHERE team_id = $1 AND id = $2", viewer.team_id, card_id)
    await film_facts.settle(connection, viewer.team_id, film)
    if card.state is ScorecardState.SUBMITTED:
        before = {"scorer": card.scorer_id, "user_id": card.user_id, "score": card.score}
        entry = NewEntry(AuditAction.SCORECARD_REMOVED, ("Scorecard", card_id), before, None)
        await audit.record(connection, viewer, [entry])


@dataclass(frozen=True, slots=True)
class CardFilter:
    """Which scorecards.

    Args:
        activity_id: Of this activity.
        user_id: Of this rep's activities.
        scorer_id: By this scorer.
        template_id: By this template.
        relations: By those who were this to the rep.
        states: In these states.
        since: Submitted from this instant on.
        until: Submitted before this instant.
    """

    activity_id: UUID | None = None
    user_id: UUID | None = None
    scorer_id: UUID | None = None
    template_id: UUID | None = None
    relations: tuple[Relation, ...] | None = None
    states: tuple[ScorecardState, ...] | None = None
    since: datetime | None = None
    until: datetime | None = None


def _condition(sight: FilmSight, wanted: CardFilter, arguments: list[object]) -> str:
    condition = sight.scorecard_filter("s", arguments)
    for column, value in (
        ("activity_id", wanted.activity_id),
        ("user_id", wanted.user_id),
        ("scorer_id", wanted.scorer_id),
        ("template_id", wanted.template_id),
    ):
        if value is not None:
            arguments.append(value)
            condition += f" AND s.{column} = ${len(arguments)}"
    for column, values in (("relation", wanted.relations), ("state", wanted.states)):
        if values is not None:
            arguments.append([value.value for value in values])
            condition += f" AND s.{column} = ANY (${len(arguments)}::text[])"
    for sign, instant in ((">=", wanted.since), ("<", wanted.until)):
        if instant is not None:
            arguments.append(instant)
            condition += f" AND s.submitted_at {sign} ${len(arguments)}"
    return f"""
        FROM scorecards s JOIN films f ON f.team_id = s.team_id AND f.id = s.activity_id
        WHERE f.away_since IS NULL AND {condition}"""


async def list_cards(connection: Connection, sight: FilmSight, wanted: CardFilter, request: PageRequest) -> Page[Card]:
    """A page of the scorecards in sight, the last begun first. Served by scorecards_scorer_key for an activity, by
    scorecards_user_idx, scorecards_scorer_idx and scorecards_template_idx else."""
    arguments: list[object] = []
    condition = _condition(sight, wanted, arguments)
    if request.cursor is not None:
        arguments += decode_cursor("scorecards", request.cursor, (UUID,))
        condition += f" AND s.id {'>' if request.backward else '<'} ${len(arguments)}::uuid"
    arguments.append(request.limit + 1)
    rows = await connection.fetch(
        f"SELECT s.* {condition} ORDER BY s.id {'ASC' if request.backward else 'DESC'} LIMIT ${len(arguments)}",
        *arguments,
    )
    found = [Card.of(row) for row in rows]
    return page_of(request, found, [encode_cursor("scorecards", str(card.id)) for card in found])


async def first_cards(
    connection: Connection, sight: FilmSight, asked: Sequence[tuple[UUID, PageRequest]]
) -> list[Page[Card]]:
    """The first pages of the scorecards in sight of some activities, in one statement. Served by
    scorecards_scorer_key."""
    arguments: list[object] = [
        [activity_id for activity_id, _request in asked],
        [request.limit + 1 for _activity_id, request in asked],
    ]
    condition = _condition(sight, CardFilter(), arguments)
    rows = await connection.fetch(
        f"""
        SELECT a.place, c.* FROM unnest($1::uuid[], $2::int[]) WITH ORDINALITY AS a (activity_id, wanted, place)
        CROSS JOIN LATERAL (
            SELECT s.* {condition} AND s.activity_id = a.activity_id ORDER BY s.id DESC LIMIT a.wanted
        ) c ORDER BY a.place, c.id DESC
        """,
        *arguments,
    )
    found: list[list[Card]] = [[] for _ in asked]
    for row in rows:
        found[row["place"] - 1].append(Card.of(row))
    return [
        page_of(request, cards, [encode_cursor("scorecards", str(card.id)) for card in cards])
        for (_activity_id, request), cards in zip(asked, found, strict=True)
    ]


async def counts_of_cards(connection: Connection, sight: FilmSight, ids: Sequence[UUID]) -> dict[UUID, int]:
    """How many scorecards in sight some activities have, in one statement. Served by scorecards_scorer_key."""
    arguments: list[object] = [list(ids)]
    rows = await connection.fetch(
        f"SELECT s.activity_id, count(*) AS count {_condition(sight, CardFilter(), arguments)} "
        "AND s.activity_id = ANY ($1::uuid[]) GROUP BY s.activity_id",
        *arguments,
    )
    return dict.fromkeys(ids, 0) | {row["activity_id"]: row["count"] for row in rows}


async def count_cards(connection: Connection, sight: FilmSight, wanted: CardFilter) -> int:
    """How many there are."""
    arguments: list[object] = []
    condition = _condition(sight, wanted, arguments)
    return int(await connection.fetchval(f"SELECT count(*) {condition}", *arguments))


async def cards_by_id(connection: Connection, sight: FilmSight, ids: Sequence[UUID]) -> dict[UUID, Card]:
    """Those of some scorecards that are in sight. Served by the primary key."""
    arguments: list[object] = [list(ids)]
    condition = sight.scorecard_filter("s", arguments)
    rows = await connection.fetch(
        f"""
        SELECT s.* FROM scorecards s JOIN films f ON f.team_id = s.team_id AND f.id = s.activity_id
        WHERE s.id = ANY ($1::uuid[]) AND f.away_since IS NULL AND {condition}
        """,
        *arguments,
    )
    return {row["id"]: Card.of(row) for row in rows}
