"""What is said of the demo team's film: comments, scorecards by two templates, calibrations, a playlist, requests.

Everything is drawn from generators that the conversations alone seed, and goes through the same doors as everybody's.
Managers coach as differently as managers do: the one of the East reviews most, the one of the West hardly any.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from domain import calibrations, comments, feedback, playlists, scorecards
from domain.access import Viewer
from domain.calibrations import NewRound
from domain.comments import NewComment
from domain.database import Connection
from domain.demo.people import REPS, TIMEZONE, Rep
from domain.feedback import NewRequest, Reply
from domain.identity import identify_user
from domain.models.film_sharing import FeedbackState, PlaylistAudience
from domain.playlists import ItemContent, PlaylistContent
from domain.scorecard_rules import Answer, Question, QuestionKind
from domain.scorecard_templates import TemplateChange, create_template, update_template
from domain.scorecards import CardDraft

FILM_DAYS = 28
_ZONE = ZoneInfo(TIMEZONE)
_REVIEWED = {"East": 12, "North": 8, "South": 5, "West": 2}
"""How many of the last weeks' conversations the manager of a region has scored."""
_MANAGERS = {
    "East": "manager@demo.test",
    "North": "ingrid.halvorsen@demo.test",
    "South": "marcus.bell@demo.test",
    "West": "priya.raman@demo.test",
}
_LEAD, _ADMIN, _OPS = "lead@demo.test", "admin@demo.test", "ops@demo.test"
_SELF_SCORED, _LED = 6, 5

_SCALE, _YES_NO, _TEXT = QuestionKind
_DISCOVERY = (
    Question("opening", "How clear was the reason for the talk?", _SCALE, 5, Decimal(1), help="1: none. 5: agreed on."),
    Question("questions", "How far did the questions go?", _SCALE, 5, Decimal(2), help="1: facts. 5: what it costs."),
    Question("listening", "How well did the rep listen?", _SCALE, 5, Decimal(1)),
    Question("next_step", "Is there a next step with a day?", _YES_NO, weight=Decimal(1)),
    Question("advice", "What one thing should change next time?", _TEXT, required=False),
)
# The second version has listening count as much as asking.
_DISCOVERY_2 = (*_DISCOVERY[:2], Question("listening", _DISCOVERY[2].text, _SCALE, 5, Decimal(2)), *_DISCOVERY[3:])
_OBJECTIONS = (
    Question("heard", "Was the objection heard to its end?", _YES_NO),
    Question("answered", "How well was it answered?", _SCALE, 4, Decimal(3)),
    Question("example", "Which sentence should others hear?", _TEXT, required=False),
)


@dataclass(frozen=True, slots=True)
class _Talk:
    """A conversation of the last weeks."""

    id: UUID
    key: str
    rep: Rep
    at: datetime
    seconds: int
    talk_ratio: float
    monologue: int
    questions: int

    def random(self, purpose: str) -> Random:
        return Random(f"{self.key}:{purpose}")

    @property
    def region(self) -> str:
        return (self.rep.group or "").split(" ")[0]

    def after(self, hours: float) -> datetime:
        return self.at + timedelta(seconds=self.seconds, hours=hours)


class _Stage:
    """Who is there, and what they do."""

    def __init__(self, connection: Connection, people: dict[str, Viewer], midnight: datetime) -> None:
        self.connection = connection
        self.people = people
        self.midnight = midnight

    async def say(self, who: str, talk: _Talk, text: str, at_seconds: int | None = None, **more: Any) -> UUID:
        """A comment, dated some hours after the conversation."""
        made = await comments.add_comment(
            self.connection, self.people[who], NewComment(talk.id, text, at_seconds, **more)
        )
        at = min(talk.after(talk.random(f"say {who}").uniform(2, 30)), self.midnight)
        await self.connection.execute("UPDATE comments SET created_at = $2 WHERE id = $1", made.id, at)
        await self.connection.execute("UPDATE mentions SET created_at = $2 WHERE comment_id = $1", made.id, at)
        return made.id

    async def score(self, who: str, talk: _Talk, template: UUID, answers: tuple[Answer, ...]) -> None:
        """A submitted scorecard, dated some hours after the conversation."""
        at = min(talk.after(talk.random(f"score {who}").uniform(2, 40)), self.midnight)
        draft = CardDraft(talk.id, template, answers)
        card = await scorecards.save_card(self.connection, self.people[who], draft, now=at)
        await scorecards.submit_card(self.connection, self.people[who], card.id, expected_revision=None, now=at)
        await self.connection.execute("UPDATE scorecards SET created_at = $2 WHERE id = $1", card.id, at)


async def create_film(connection: Connection, team_id: UUID, today: date) -> None:
    """Comment and score the last weeks' conversations; once for a team, when its history is there."""
    if await connection.fetchval("SELECT EXISTS (SELECT 1 FROM scorecard_templates WHERE team_id = $1)", team_id):
        return
    midnight = datetime.combine(today, time(), _ZONE)
    talks = await _talks(connection, team_id, midnight)
    rows = await connection.fetch("SELECT id, email FROM users WHERE team_id = $1", team_id)
    ids = {row["email"]: row["id"] for row in rows}
    names = {*_MANAGERS.values(), _LEAD, _ADMIN, _OPS, *(talk.rep.email for talk in talks)}
    people: dict[str, Viewer] = {}
    for name in sorted(names):
        viewer = await identify_user(connection, team_id, ids[name])
        assert viewer is not None, "the demo's people work with the team"
        people[name] = viewer
    stage = _Stage(connection, people, midnight)
    manager = people[_MANAGERS["East"]]
    discovery = (
        await create_template(connection, manager, "Discovery", "The first talk with somebody new.", _DISCOVERY)
    ).id
    objections = (
        await create_template(connection, manager, "Objections", "What the other side had against it.", _OBJECTIONS)
    ).id
    if not talks:
        return
    half = midnight - timedelta(days=FILM_DAYS // 2)
    chosen = _chosen(talks)
    for talk in (one for one in chosen if one.at < half):
        await _review(stage, talk, discovery)
    await update_template(connection, manager, discovery, TemplateChange(questions=_DISCOVERY_2), now=half)
    for talk in (one for one in chosen if one.at >= half):
        await _review(stage, talk, discovery)
    rest = [talk for talk in talks if talk not in chosen]
    await _self_and_lead(stage, [talk for talk in rest if talk.region == "East"], discovery, objections)
    used = await _calibrate(stage, [talk for talk in reversed(rest) if talk.rep.group == "East SMB"], discovery)
    await _share(stage, chosen)
    await _ask(stage, [talk for talk in reversed(rest) if talk.rep.group == "East SMB" and talk not in used])
    # Reviews are dated as what they came by.
    await connection.execute(
        """
        UPDATE reviews r SET created_at = coalesce(
            (SELECT min(s.submitted_at) FROM scorecards s WHERE s.team_id = $1 AND s.activity_id = r.activity_id
                AND s.scorer_id = r.reviewer_id),
            (SELECT min(c.created_at) FROM comments c WHERE c.team_id = $1 AND c.activity_id = r.activity_id
                AND c.author_id = r.reviewer_id), r.created_at)
        WHERE r.team_id = $1
        """,
        team_id,
    )


async def _talks(connection: Connection, team_id: UUID, midnight: datetime) -> list[_Talk]:
    """The last weeks' conversations, the oldest first. Served by activities_team_idx."""
    reps = {rep.email: rep for rep in REPS}
    rows = await connection.fetch(
        """
        SELECT a.*, u.email FROM activities a JOIN users u ON u.id = a.user_id
        WHERE a.team_id = $1 AND a.kind = 'conversation' AND a.occurred_at >= $2 AND a.occurred_at < $3
            AND a.source = 'demo' ORDER BY a.occurred_at, a.external_id
        """,
        team_id,
        midnight - timedelta(days=FILM_DAYS),
        midnight,
    )
    return [
        _Talk(
            row["id"],
            row["external_id"],
            reps[row["email"]],
            row["occurred_at"],
            row["duration_seconds"],
            float(row["talk_ratio"] or 0),
            row["longest_monologue_seconds"] or 0,
            row["questions_asked"] or 0,
        )
        for row in rows
        if row["email"] in reps
    ]


def _chosen(talks: list[_Talk]) -> list[_Talk]:
    """What the managers review: some of each region, spread over the weeks."""
    found: list[_Talk] = []
    for region, count in _REVIEWED.items():
        of_region = [talk for talk in talks if talk.region == region and talk.seconds > 120]
        step = max(len(of_region) // count, 1)
        found += of_region[::step][:count]
    return sorted(found, key=lambda talk: (talk.at, talk.key))


def _steps(talk: _Talk, judge: str) -> dict[str, int]:
    """How somebody would score a conversation: by what its analysis says, the rep's craft, and the judge's own way."""
    random = talk.random(f"steps {judge}")

    def step(value: float) -> int:
        return min(max(round(value + random.gauss(0, 0.5)), 1), 5)

    craft = 3 + 4 * (talk.rep.craft - 1)
    return {
        "opening": step(craft + 0.4),
        "questions": step(craft + min(talk.questions / 4, 2) - 1),
        "listening": step(craft + 12 * (0.58 - talk.talk_ratio)),
    }


def _answers(talk: _Talk, judge: str, shift: int = 0) -> tuple[Answer, ...]:
    steps = {key: min(max(value + shift, 1), 5) for key, value in _steps(talk, judge).items()}
    advice = "Ask before you show." if talk.talk_ratio > 0.58 else "End with a day in the calendar."
    return (
        *(Answer(key, scale=value) for key, value in steps.items()),
        Answer("next_step", yes=talk.random("next step").random() < 0.45 + 0.4 * (talk.rep.craft - 0.7)),
        Answer("advice", text=advice),
    )


def _remark(talk: _Talk) -> tuple[str, int]:
    """What a coach would say of a conversation, and of which moment."""
    moment = int(talk.seconds * talk.random("moment").uniform(0.1, 0.8))
    if talk.talk_ratio > 0.62:
        return f"You talk {talk.talk_ratio:.0%} of the time. Leave the silence standing after this question.", moment
    if talk.monologue > 100:
        return f"{talk.monologue} seconds without a question from here on. Where would one have fitted?", moment
    if talk.questions >= 6:
        return "This chain of questions is worth showing around: each takes up the answer before.", moment
    return "Good opening. What did you want them to do at the end?", moment


async def _review(stage: _Stage, talk: _Talk, template: UUID) -> None:
    """A manager scores a conversation; every other time with a comment, which the rep sometimes answers."""
    who = _MANAGERS[talk.region]
    await stage.score(who, talk, template, _answers(talk, who))
    random = talk.random("review")
    if random.random() < 0.6:
        text, moment = _remark(talk)
        called = (stage.people[talk.rep.email].user_id,)
        made = await stage.say(who, talk, text, moment, mention_ids=called)
        if random.random() < 0.5:
            await stage.say(talk.rep.email, talk, "Fair. I will try that on Thursday's call.", parent_id=made)


async def _self_and_lead(stage: _Stage, talks: list[_Talk], discovery: UUID, objections: UUID) -> None:
    """Reps score themselves, a point kinder than others; the lead scores and comments as a peer."""
    for talk in talks[: _SELF_SCORED * 3 : 3]:
        await stage.score(talk.rep.email, talk, discovery, _answers(talk, talk.rep.email, 1))
    led = [talk for talk in talks if talk.rep.group == "East SMB"]
    for talk in led[: _LED * 2 : 2]:
        random = talk.random("lead")
        answers = (
            Answer("heard", yes=random.random() < 0.7),
            Answer("answered", scale=min(max(round(2.4 * talk.rep.craft + random.gauss(0, 0.6)), 1), 4)),
        )
        await stage.score(_LEAD, talk, objections, answers)
        text, moment = _remark(talk)
        await stage.say(_LEAD, talk, text, moment)


async def _calibrate(stage: _Stage, talks: list[_Talk], template: UUID) -> list[_Talk]:
    """Three rounds that are closed and one that waits for its last scorer; Avery is strict, Lee kind."""
    used = talks[:4]
    manager = _MANAGERS["East"]
    shifts = {manager: 0, _LEAD: 1, _ADMIN: -1}
    scorers = tuple(stage.people[who].user_id for who in shifts)
    for number, talk in enumerate(reversed(used)):
        await calibrations.start(stage.connection, stage.people[manager], NewRound(talk.id, template, scorers))
        for who, shift in shifts.items():
            if number < len(used) - 1 or who != _LEAD:
                await stage.score(who, talk, template, _answers(talk, who, shift))
    return used


async def _share(stage: _Stage, chosen: list[_Talk]) -> None:
    """A playlist of good examples for the whole team."""
    owner = stage.people[_MANAGERS["East"]]
    content = PlaylistContent("How to ask", "Talks in which the questions carry.", PlaylistAudience.TEAM, None)
    playlist = await playlists.create_playlist(stage.connection, owner, content)
    best = sorted((talk for talk in chosen if talk.region == "East"), key=lambda talk: (-talk.questions, talk.key))
    for talk in best[:5]:
        start = talk.seconds // 4
        item = ItemContent(start, min(start + 90, talk.seconds), f"{talk.questions} questions, each on the one before.")
        await playlists.add_item(stage.connection, owner, playlist.id, talk.id, item)


async def _ask(stage: _Stage, talks: list[_Talk]) -> None:
    """Reps ask the lead, their manager and a peer for feedback; some have answered, one would rather not."""
    today = stage.midnight.date()
    peers = sorted({talk.rep.email for talk in talks})
    for number, talk in enumerate(talks[:6]):
        others = [email for email in peers if email != talk.rep.email]
        asked = (_LEAD, _MANAGERS["East"], *others[:1])[number % (2 + bool(others))]
        new = NewRequest(
            talk.id,
            (stage.people[asked].user_id,),
            "Was I too quick with the price?" if number % 2 else "How did the opening sound to you?",
            today + timedelta(days=3 + number),
        )
        (request,) = await feedback.ask(stage.connection, stage.people[talk.rep.email], new, today=today)
        at = min(talk.after(1), stage.midnight)
        await stage.connection.execute("UPDATE feedback_requests SET created_at = $2 WHERE id = $1", request.id, at)
        reply = None
        if number in (0, 1):
            said = await stage.say(asked, talk, "Not too quick, too long: name it and stop.", talk.seconds // 3)
            reply = Reply(FeedbackState.ANSWERED, comment_id=said)
        if number == 3:
            reply = Reply(FeedbackState.DECLINED, "I was on that call myself; better ask Morgan.")
        if reply is not None:
            await feedback.end_request(stage.connection, stage.people[asked], request.id, reply, now=stage.midnight)
