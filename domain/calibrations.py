"""Calibrations: several score one activity by one template, apart from each other, and see then how far they agree.

A manager of the rep's calls the scorers, each of whom may see the activity. Each finds a draft of the round's version
waiting. While the round is open, nobody sees another's card of it (domain/access_film.py), and none of its scores
counts in an average. The last submission closes it, or the organizer, with what is there by then. Then the round tells
mean and spread of the scores and, question by question, how far the answers lie apart.

Over a range, the closed rounds of a template tell of each scorer the bias, and of all of them Krippendorff's alpha
(domain/agreement.py). Rounds count on the local day on which they closed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from fractions import Fraction
from typing import TYPE_CHECKING, Any
from uuid import UUID

from domain import access_film, calibration_rounds, film_facts
from domain.access import Viewer
from domain.access_film import FilmSight, see_film
from domain.agreement import Bias, Spread, biases, krippendorff_alpha, spread
from domain.errors import Conflict, Forbidden, Invalid, ItemError, NotFound, Refused
from domain.film import SCORED_KINDS, open_film
from domain.models.base import new_id
from domain.models.film_scorecards import Calibration
from domain.paging import Page, PageRequest, decode_cursor, encode_cursor, page_of
from domain.rows import gathered
from domain.scorecard_rules import Question, normalized
from domain.scorecard_templates import templates_by_id, versions_by_key
from domain.scorecards import Card

if TYPE_CHECKING:
    from domain.database import Connection

SCORERS_LIMIT = 30
ROUNDS_LIMIT = 2_000
"""Rounds that a report looks at: the last so many of its range."""


@dataclass(frozen=True, slots=True)
class NewRound:
    """A round that is called.

    Args:
        activity_id: What is scored.
        template_id: By which template; its current version.
        scorer_ids: By whom.
        due_on: Until when.
    """

    activity_id: UUID
    template_id: UUID
    scorer_ids: tuple[UUID, ...]
    due_on: date | None = None


async def start(connection: Connection, viewer: Viewer, given: NewRound) -> Calibration:
    """Call a round, in the caller's transaction.

    Raises:
        NotFound: the activity is not in sight, or there is no such template.
        Forbidden: the viewer is no manager of the rep's.
        Invalid: fewer than two are called, or too many; the rep is among them; nothing to be scored.
        Refused: somebody may not see the activity or has submitted a card of the template; an error for each.
        Conflict: such a round is open.
    """
    film, sight = await open_film(connection, viewer, given.activity_id)
    owner_id = film.activity.user_id
    if film.activity.kind not in SCORED_KINDS:
        raise Invalid("activityId: conversations, calls, meetings and emails are scored.", path=("input", "activityId"))
    await access_film.require_manager(connection, viewer, owner_id)
    template = (await templates_by_id(connection, viewer.team_id, [given.template_id])).get(given.template_id)
    if template is None or template.archived_at is not None:
        raise NotFound("No such scorecard template.", path=("input", "templateId"))
    scorers = await _check_scorers(connection, viewer, sight, given, owner_id)
    # Served by calibrations_open_key; the film is held.
    if await connection.fetchval(
        "SELECT 1 FROM calibrations WHERE team_id = $1 AND activity_id = $2 AND template_id = $3 AND state = 'OPEN'",
        viewer.team_id,
        given.activity_id,
        given.template_id,
    ):
        raise Conflict("A calibration of this activity by this template is open; close it first.")
    row = await connection.fetchrow(
        "INSERT INTO calibrations (id, team_id, activity_id, user_id, template_id, version, organizer_id, due_on) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING *",
        new_id(),
        viewer.team_id,
        given.activity_id,
        owner_id,
        given.template_id,
        template.current_version,
        viewer.user_id,
        given.due_on,
    )
    assert row is not None, "it was made just now"
    await connection.execute(
        "INSERT INTO calibration_scorers (id, team_id, calibration_id, scorer_id) "
        "SELECT w.id, $1, $2, w.scorer_id FROM unnest($3::uuid[], $4::uuid[]) w (id, scorer_id)",
        viewer.team_id,
        row["id"],
        [new_id() for _ in scorers],
        scorers,
    )
    # Who had begun a card goes on with it in the round, on the round's version; who had not finds an empty one.
    await connection.execute(
        """
        INSERT INTO scorecards AS s (id, team_id, activity_id, user_id, scorer_id, template_id, version, relation,
            answers, calibration_id)
        SELECT w.id, $1, $2, $3, w.scorer_id, $4, $5, 'PEER', '{}', $6
        FROM unnest($7::uuid[], $8::uuid[]) w (id, scorer_id)
        ON CONFLICT (team_id, activity_id, scorer_id, template_id) DO UPDATE SET calibration_id = $6,
            version = EXCLUDED.version, revision = s.revision + 1,
            answers = CASE WHEN s.version = EXCLUDED.version THEN s.answers ELSE '{}' END
        """,
        viewer.team_id,
        given.activity_id,
        owner_id,
        given.template_id,
        template.current_version,
        row["id"],
        [new_id() for _ in scorers],
        scorers,
    )
    await film_facts.settle(connection, viewer.team_id, film)
    return Calibration._init_from_db(**dict(row))


async def _check_scorers(
    connection: Connection, viewer: Viewer, sight: FilmSight, given: NewRound, owner_id: UUID
) -> list[UUID]:
    path = ("input", "scorerIds")
    scorers = list(dict.fromkeys(given.scorer_ids))
    if not 2 <= len(scorers) <= SCORERS_LIMIT:
        raise Invalid(f"scorerIds: call 2 to {SCORERS_LIMIT} scorers.", path=path)
    if owner_id in scorers:
        raise Invalid("scorerIds: the rep does not calibrate their own film.", path=path)
    allowed = await access_film.who_may_see(connection, viewer.team_id, given.activity_id, owner_id, scorers)
    rows = await connection.fetch(
        "SELECT scorer_id FROM scorecards WHERE team_id = $1 AND activity_id = $2 AND template_id = $3 "
        "AND scorer_id = ANY ($4::uuid[]) AND state = 'SUBMITTED'",
        viewer.team_id,
        given.activity_id,
        given.template_id,
        scorers,
    )
    done = {row["scorer_id"] for row in rows}
    wrong = [one for one in scorers if one not in allowed or one in done]
    if wrong:
        names = await access_film.known_by_name(connection, viewer, sight.users, wrong)
        errors = []
        for one in wrong:
            place = (*path, str(scorers.index(one)))
            if one not in names:
                errors.append(ItemError("NOT_FOUND", "scorerIds: no such user.", place))
            elif one not in allowed:
                errors.append(ItemError("SCORER_MAY_NOT_SEE", f"{names[one]} may not see this activity.", place))
            else:
                message = f"{names[one]} has submitted a card of this template already, which others have seen."
                errors.append(ItemError("ALREADY_SCORED", message, place))
        raise Refused(errors)
    return scorers


async def close(connection: Connection, viewer: Viewer, calibration_id: UUID, *, now: datetime) -> Calibration:
    """Close a round with what is there, in the caller's transaction: its organizer, or a manager of the rep's.

    Raises:
        NotFound: it is not in sight.
        Forbidden: it is somebody else's, and the viewer is no manager of the rep's.
        Conflict: it is closed.
    """
    path = ("input", "calibrationId")
    sight = await see_film(connection, viewer)
    found = (await rounds_by_id(connection, sight, [calibration_id])).get(calibration_id)
    if found is None:
        raise NotFound("No such calibration.", path=path)
    film, _ = await open_film(connection, viewer, found.activity_id, path=path)
    if found.organizer_id != viewer.user_id:
        await access_film.require_manager(connection, viewer, film.activity.user_id)
        if film.activity.user_id == viewer.user_id:
            raise Forbidden("A calibration is closed by its organizer.", permission="organizer")
    state = await connection.fetchval(
        "SELECT state FROM calibrations WHERE team_id = $1 AND id = $2", viewer.team_id, calibration_id
    )
    if state != "OPEN":
        raise Conflict("The calibration is closed.", path=path)
    await calibration_rounds.close(connection, viewer.team_id, calibration_id, now=now)
    await film_facts.settle(connection, viewer.team_id, film)
    return (await rounds_by_id(connection, sight, [calibration_id]))[calibration_id]


def _filter(sight: FilmSight, arguments: list[object]) -> str:
    """Rounds on film in sight: of reps in scope; of others, those in which the viewer takes part."""
    film = sight.filter("c", arguments)
    users = sight.users.filter("c.user_id", arguments, team_column="c.team_id")
    arguments.append(sight.viewer_id)
    return f"""{film} AND ({users} OR c.organizer_id = ${len(arguments)} OR EXISTS (
        SELECT 1 FROM calibration_scorers w WHERE w.team_id = c.team_id AND w.calibration_id = c.id
            AND w.scorer_id = ${len(arguments)}))"""


async def rounds_by_id(connection: Connection, sight: FilmSight, ids: Sequence[UUID]) -> dict[UUID, Calibration]:
    """Those of some rounds that are in sight. Served by the primary key."""
    arguments: list[object] = [list(ids)]
    condition = _filter(sight, arguments)
    rows = await connection.fetch(
        f"""
        SELECT c.* FROM calibrations c JOIN films f ON f.team_id = c.team_id AND f.id = c.activity_id
        WHERE c.id = ANY ($1::uuid[]) AND f.away_since IS NULL AND {condition}
        """,
        *arguments,
    )
    return {row["id"]: Calibration._init_from_db(**dict(row)) for row in rows}


def _list_condition(sight: FilmSight, template_id: UUID | None, is_open: bool | None, arguments: list[object]) -> str:
    condition = f"""
        FROM calibrations c JOIN films f ON f.team_id = c.team_id AND f.id = c.activity_id
        WHERE f.away_since IS NULL AND {_filter(sight, arguments)}"""
    if template_id is not None:
        arguments.append(template_id)
        condition += f" AND c.template_id = ${len(arguments)}"
    if is_open is not None:
        condition += f" AND c.state {'=' if is_open else '<>'} 'OPEN'"
    return condition


async def list_rounds(
    connection: Connection, sight: FilmSight, template_id: UUID | None, is_open: bool | None, request: PageRequest
) -> Page[Calibration]:
    """A page of the rounds in sight, the last called first. Rounds are few: some for each template and month."""
    arguments: list[object] = []
    condition = _list_condition(sight, template_id, is_open, arguments)
    if request.cursor is not None:
        arguments += decode_cursor("calibrations", request.cursor, (UUID,))
        condition += f" AND c.id {'>' if request.backward else '<'} ${len(arguments)}::uuid"
    arguments.append(request.limit + 1)
    rows = await connection.fetch(
        f"SELECT c.* {condition} ORDER BY c.id {'ASC' if request.backward else 'DESC'} LIMIT ${len(arguments)}",
        *arguments,
    )
    found = [Calibration._init_from_db(**dict(row)) for row in rows]
    return page_of(request, found, [encode_cursor("calibrations", str(one.id)) for one in found])


async def count_rounds(connection: Connection, sight: FilmSight, template_id: UUID | None, is_open: bool | None) -> int:
    """How many there are."""
    arguments: list[object] = []
    condition = _list_condition(sight, template_id, is_open, arguments)
    return int(await connection.fetchval(f"SELECT count(*) {condition}", *arguments))


@dataclass(frozen=True, slots=True)
class Scorer:
    """Somebody who was called.

    Args:
        scorer_id: Who.
        submitted_at: When the card came; None while it has not.
    """

    scorer_id: UUID
    submitted_at: datetime | None


async def scorers_of(connection: Connection, team_id: UUID, ids: Sequence[UUID]) -> dict[UUID, list[Scorer]]:
    """Who scores in rounds in sight, and who has. Served by calibration_scorers_scorer_key."""
    rows = await connection.fetch(
        """
        SELECT w.calibration_id, w.scorer_id, s.submitted_at FROM calibration_scorers w
        LEFT JOIN scorecards s ON s.team_id = w.team_id AND s.calibration_id = w.calibration_id
            AND s.scorer_id = w.scorer_id
        WHERE w.team_id = $1 AND w.calibration_id = ANY ($2::uuid[]) ORDER BY w.id
        """,
        team_id,
        list(ids),
    )
    return gathered(ids, rows, "calibration_id", lambda row: Scorer(row["scorer_id"], row["submitted_at"]))


@dataclass(frozen=True, slots=True)
class QuestionSpread:
    """How far the answers to a question lie apart.

    Args:
        question: The question.
        spread: Of the answers, each from 0 to 1; None where nobody answered.
    """

    question: Question
    spread: Spread | None


@dataclass(frozen=True, slots=True)
class Result:
    """What a closed round came to.

    Args:
        scores: Of the cards, 0 to 100; None where no card has a score.
        questions: The questions that are scored.
        cards: The cards, the highest first.
    """

    scores: Spread | None
    questions: tuple[QuestionSpread, ...]
    cards: tuple[Card, ...]


async def results_of(connection: Connection, team_id: UUID, rounds: Sequence[Calibration]) -> dict[UUID, Result]:
    """What closed rounds in sight came to; of open ones nothing. Served by scorecards_calibration_idx."""
    closed = {one.id: one for one in rounds if one.closed_at is not None}
    rows = await connection.fetch(
        "SELECT * FROM scorecards WHERE team_id = $1 AND calibration_id = ANY ($2::uuid[]) AND state = 'SUBMITTED' "
        "ORDER BY score DESC NULLS LAST, id",
        team_id,
        list(closed),
    )
    keys = {(one.template_id, one.version) for one in closed.values()}
    versions = await versions_by_key(connection, team_id, sorted(keys))
    cards = gathered(closed, rows, "calibration_id", Card.of)
    return {
        one.id: result_of(versions[one.template_id, one.version].questions, cards[one.id]) for one in closed.values()
    }


def result_of(questions: Sequence[Question], cards: Sequence[Card]) -> Result:
    """What the cards of a round come to."""
    spreads = []
    for question in questions:
        if question.scored:
            given = [
                normalized(question, answer) for card in cards for answer in card.answers if answer.key == question.key
            ]
            spreads.append(QuestionSpread(question, spread(value for value in given if value is not None)))
    scores = spread(card.score for card in cards if card.score is not None)
    return Result(scores, tuple(spreads), tuple(cards))


@dataclass(frozen=True, slots=True)
class Report:
    """How scorers of a template agreed over a range.

    Args:
        rounds: How many closed rounds with two scores or more there were.
        scores: How many scores they hold.
        alpha: Krippendorff's, interval; None where there is nothing to tell.
        mean_width: From lowest to highest, mean over the rounds; None without any.
        scorers: How each of them scores, the most generous first.
    """

    rounds: int
    scores: int
    alpha: float | None
    mean_width: Fraction | None
    scorers: tuple[Bias[UUID], ...]


async def report(
    connection: Connection, sight: FilmSight, template_id: UUID, timezone: str, first: date, last: date
) -> Report:
    """How scorers agreed in the rounds in sight that closed on local days from `first` to `last`.

    Served by calibrations_template_idx and scorecards_calibration_idx.
    """
    arguments: list[object] = [template_id, timezone, first, last, ROUNDS_LIMIT]
    condition = _filter(sight, arguments)
    rows: Sequence[Any] = await connection.fetch(
        f"""
        WITH rounds AS (
            SELECT c.team_id, c.id FROM calibrations c
            JOIN films f ON f.team_id = c.team_id AND f.id = c.activity_id
            WHERE c.template_id = $1 AND c.state = 'CLOSED' AND f.away_since IS NULL AND {condition}
                AND c.closed_at >= ($3::date::timestamp AT TIME ZONE $2)
                AND c.closed_at < (($4::date + 1)::timestamp AT TIME ZONE $2)
            ORDER BY c.closed_at DESC LIMIT $5
        )
        SELECT s.calibration_id, s.scorer_id, s.score FROM rounds r
        JOIN scorecards s ON s.team_id = r.team_id AND s.calibration_id = r.id
        WHERE s.state = 'SUBMITTED' AND s.score IS NOT NULL
        """,
        *arguments,
    )
    units: dict[UUID, dict[UUID, Fraction]] = {}
    for row in rows:
        units.setdefault(row["calibration_id"], {})[row["scorer_id"]] = Fraction(row["score"])
    paired = [unit for unit in units.values() if len(unit) > 1]
    widths = [max(unit.values()) - min(unit.values()) for unit in paired]
    scorers = sorted(biases(paired), key=lambda one: (-one.mean, one.scorer))
    return Report(
        len(paired),
        sum(map(len, paired)),
        krippendorff_alpha(unit.values() for unit in paired),
        sum(widths, Fraction(0)) / len(widths) if widths else None,
        tuple(scorers),
    )
