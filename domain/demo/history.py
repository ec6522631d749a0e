"""What a rep of the demo team did on a day, and what came of it by now.

Everything of a rep's day is drawn from a generator that the rep and the day alone seed, in a fixed order. What comes
later (a reply, a meeting held, a deal won) is drawn then and there as well and shows once its time has come, as a newer
version of the record: tomorrow's run adds tomorrow and never rewrites yesterday.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from random import Random
from zoneinfo import ZoneInfo

import holidays

from domain.demo.people import TIMEZONE, Rep, Story, hired_on
from domain.records import (
    AnyRecord,
    CadenceStepRecord,
    CallRecord,
    ConversationRecord,
    EmailRecord,
    MeetingRecord,
    OpportunityRecord,
    TaskRecord,
)

ZONE = ZoneInfo(TIMEZONE)
OUTCOME_DAYS = 120
"""After so many days nothing changes any more."""
RAMP_DAYS = 90
STORY_DAYS = 56
LEAVE_DAYS = (70, 28)
"""A rep's leave: from so many days before the anchor day to so many."""

_WEEKDAY_LEVEL = (0.85, 1.1, 1.1, 1.05, 0.8, 0.0, 0.0)
_WEEKEND_SHARE = 0.02
_CADENCES = ("New business", "Follow-up", "Renewal")
_SUBJECTS = ("Quick question about {0}", "{0}: an idea for your team", "Following up on {0}", "{0} in fifteen minutes?")
_TOPICS = ("onboarding", "forecasting", "your pipeline", "ramp time", "call reviews", "territory planning")
_BODIES = (
    "Hi there,\n\nI saw that your team is growing and thought that {0} may be on your list this quarter. "
    "Would a short call on Thursday suit you?\n\nBest\n{1}",
    "Hello,\n\nthank you for your time last week. As promised, here is how others went about {0}. "
    "What would have to be true for you to look closer?\n\nKind regards\n{1}",
)
_DISPOSITIONS = ("connected", "left voicemail", "no answer", "wrong number", "busy")
_SENTIMENTS = ("positive", "neutral", "negative", "not interested")
_ACCOUNTS = (
    "Aldgate Mills|Brightwater|Cobalt Foods|Dunmore Rail|Everline|Fjord Systems|Granite Bank|"
    "Hollis & Co|Ironwood|Juniper Labs|Kestrel Air|Lumen Optics|Marlowe Press|Northgate|"
    "Orchard Health|Pinnacle Tools"
).split("|")
_STAGES = ("Discovery", "Evaluation", "Proposal", "Negotiation")
_CURRENCIES = ((None, None), ("EUR", Decimal("1.09")), ("GBP", Decimal("1.27")))


@dataclass(frozen=True, slots=True)
class _Day:
    """A rep's working day, and the moment up to which the world is known."""

    rep: Rep
    day: date
    random: Random
    cutoff: datetime
    level: float
    craft: float

    def known(self, moment: datetime) -> bool:
        return moment < self.cutoff

    def at(self, hour_from: float, hour_to: float) -> datetime:
        minutes = int(self.random.uniform(hour_from, hour_to) * 60)
        return datetime.combine(self.day, time(minutes // 60, minutes % 60, self.random.randrange(60)), ZONE)

    def chance(self, probability: float) -> bool:
        return self.random.random() < min(probability, 0.97)

    def count(self, mean: float) -> int:
        """A Poisson draw (Knuth, The Art of Computer Programming 2, 3.4.1)."""
        limit, product, drawn = math.exp(-mean), self.random.random(), 0
        while product > limit:
            product *= self.random.random()
            drawn += 1
        return drawn

    def key(self, what: str, number: int) -> str:
        return f"{what}-{self.rep.email.partition('@')[0]}-{self.day:%Y%m%d}-{number}"


def is_working_day(day: date) -> bool:
    """A weekday that is no holiday of the US."""
    return day.weekday() < 5 and day not in _holidays()


@functools.cache
def _holidays() -> holidays.HolidayBase:
    """Made when it is asked for: it loads the calendars of all countries."""
    return holidays.country_holidays("US")


def _next_working_day(day: date) -> date:
    while not is_working_day(day):
        day += timedelta(days=1)
    return day


def _level(rep: Rep, day: date, anchor: date, random: Random) -> tuple[float, float]:
    """How much a rep does on a day, and how well."""
    weekend = random.random() < _WEEKEND_SHARE
    if not is_working_day(day) and not weekend:
        return 0.0, 0.0
    level = rep.activity * (_WEEKDAY_LEVEL[day.weekday()] or 0.15)
    craft = rep.craft
    hired = hired_on(rep, anchor)
    if hired is not None:
        ramp = (day - hired).days / RAMP_DAYS
        if ramp < 0:
            return 0.0, 0.0
        level *= 0.3 + 0.7 * min(ramp, 1.0)
        craft *= 0.6 + 0.4 * min(ramp, 1.0)
    before = (anchor - day).days
    if rep.story is Story.RISING:
        gone = min(max(1 - before / 365, 0.0), 1.0)
        level *= 0.7 + 0.8 * gone
        craft *= 0.7 + 0.8 * gone
    elif rep.story is Story.IN_TROUBLE and before < STORY_DAYS:
        decline = min((STORY_DAYS - before) / STORY_DAYS, 1.0)
        level *= 1 - 0.6 * decline
        craft *= 1 - 0.55 * decline
    elif rep.story is Story.ON_LEAVE and LEAVE_DAYS[1] < before <= LEAVE_DAYS[0]:
        return 0.0, 0.0
    return level, craft


def records_of(rep: Rep, day: date, anchor: date, cutoff: datetime) -> Iterator[AnyRecord]:
    """What a rep did on a day, as it stood at a moment."""
    random = Random(f"sideline:{rep.email}:{day.isoformat()}")
    level, craft = _level(rep, day, anchor, random)
    if level <= 0:
        return
    today = _Day(rep, day, random, cutoff, level, craft)
    yield from _emails(today)
    yield from _calls(today)
    yield from _cadence(today)
    yield from _meetings(today)


def _emails(today: _Day) -> Iterator[AnyRecord]:
    random = today.random
    for number in range(today.count(5.0 * today.level)):
        sent = today.at(8, 18)
        topic = random.choice(_TOPICS)
        bounced = today.chance(0.03)
        opens = 0 if bounced else today.count(0.8)
        replied = today.chance(0.09 * today.craft) and not bounced
        reply_at = sent + timedelta(hours=random.expovariate(1 / 20) + 0.2)
        body = random.choice(_BODIES).format(topic, today.rep.name) if today.chance(0.15) else None
        shown = replied and today.known(reply_at)
        yield EmailRecord(
            external_id=today.key("email", number),
            user=today.rep.email,
            occurred_at=sent,
            updated_at=reply_at if shown else sent,
            subject=random.choice(_SUBJECTS).format(topic),
            body=body,
            bounced=bounced,
            open_count=max(opens, 1) if shown else opens,
            replied_at=reply_at if shown else None,
            cadence=random.choice(_CADENCES) if today.chance(0.6) else None,
        )


def _calls(today: _Day) -> Iterator[AnyRecord]:
    random = today.random
    for number in range(today.count(3.5 * today.level)):
        begun = today.at(9, 17.5)
        connected = today.chance(0.24 * today.craft)
        seconds = int(random.lognormvariate(5.4, 0.7)) if connected else random.randrange(5, 45)
        recorded = connected and today.chance(0.3)
        yield CallRecord(
            external_id=today.key("call", number),
            user=today.rep.email,
            occurred_at=begun,
            updated_at=begun,
            duration_seconds=min(seconds, 5_400),
            connected=connected,
            disposition="connected" if connected else random.choice(_DISPOSITIONS[1:]),
            sentiment=random.choice(_SENTIMENTS) if connected else None,
        )
        if recorded:
            yield _conversation(today, f"call-{number}", begun, min(seconds, 5_400))


def _conversation(today: _Day, what: str, begun: datetime, seconds: int) -> ConversationRecord:
    """The recording of a call or meeting: `call-1` is that of the day's call 1."""
    random = today.random
    kind, number = what.split("-")
    ratio = min(max(random.gauss(0.58 - 0.08 * (today.craft - 1), 0.08), 0.15), 0.95)
    return ConversationRecord(
        external_id=f"conversation-{today.key(what, 0)}",
        user=today.rep.email,
        occurred_at=begun,
        # Newer than what a demo of before took in, which did not tell what was recorded.
        updated_at=begun + timedelta(seconds=1),
        duration_seconds=max(seconds, 30),
        talk_ratio=Decimal(str(round(ratio, 4))),
        longest_monologue_seconds=int(max(seconds, 30) * ratio * random.uniform(0.08, 0.3)),
        questions_asked=today.count(max(seconds, 30) / 150 * today.craft),
        patience_seconds=Decimal(str(round(random.uniform(0.3, 1.6), 2))),
        recorded_external_id=today.key(kind, int(number)),
    )


def _cadence(today: _Day) -> Iterator[AnyRecord]:
    random = today.random
    for number in range(today.count(2.5 * today.level)):
        at = today.at(8, 18)
        cadence = random.choice(_CADENCES)
        drawn = random.random()
        status = "added" if drawn < 0.25 else "overdue" if drawn > 0.93 else "completed"
        yield CadenceStepRecord(
            external_id=today.key("step", number),
            user=today.rep.email,
            occurred_at=at,
            updated_at=at,
            cadence=cadence,
            step=0 if status == "added" else random.randrange(1, 8),
            status=status,  # type: ignore[arg-type]
        )
    for number in range(today.count(0.6 * today.level)):
        at = today.at(9, 18)
        yield TaskRecord(
            external_id=today.key("task", number),
            user=today.rep.email,
            occurred_at=at,
            updated_at=at,
            completed_at=at,
            title=f"Prepare {random.choice(_TOPICS)}",
        )


def _meetings(today: _Day) -> Iterator[AnyRecord]:
    random = today.random
    for number in range(today.count(0.55 * today.level * today.craft)):
        booked = today.at(9, 17.5)
        moved = 1 if today.chance(0.12) else 0
        held_on = _next_working_day(today.day + timedelta(days=random.randrange(1, 9) + 3 * moved))
        starts = datetime.combine(held_on, time(random.randrange(9, 17), random.choice((0, 30))), ZONE)
        ends = starts + timedelta(minutes=random.choice((30, 45, 60)))
        drawn = random.random()
        outcome = "cancelled" if drawn < 0.05 else "held" if drawn < 0.05 + 0.8 * today.craft else "no_show"
        over = today.known(ends)
        account = random.choice(_ACCOUNTS)
        yield MeetingRecord(
            external_id=today.key("meeting", number),
            user=today.rep.email,
            occurred_at=booked,
            updated_at=ends if over else booked,
            starts_at=starts,
            ends_at=ends,
            title=f"{account}: {random.choice(_TOPICS)}",
            status=outcome if over else "booked",  # type: ignore[arg-type]
            rescheduled_count=moved,
        )
        recorded = today.chance(0.55)
        conversation = _conversation(today, f"meeting-{number}", starts, int((ends - starts).total_seconds()))
        opportunity = list(_opportunity(today, number, account, ends))
        if over and outcome == "held":
            if recorded:
                yield conversation
            yield from opportunity


def _opportunity(today: _Day, number: int, account: str, created: datetime) -> Iterator[AnyRecord]:
    random = today.random
    opened = today.chance(0.42 * today.craft)
    amount = Decimal(int(random.lognormvariate(9.3, 0.7))).quantize(Decimal(1))
    currency, rate = random.choices(_CURRENCIES, weights=(90, 6, 4))[0]
    days = int(random.triangular(12, 100, 38))
    won = today.chance(0.29 * today.craft)
    closes = datetime.combine(_next_working_day(created.date() + timedelta(days=days)), time(16), ZONE)
    closed = today.known(closes)
    now = closes if closed else today.cutoff
    share = (now - created).total_seconds() / max((closes - created).total_seconds(), 1)
    stage = min(int(share * len(_STAGES)), len(_STAGES) - 1)
    reached = created + (closes - created) * stage / len(_STAGES)
    if opened:
        yield OpportunityRecord(
            external_id=today.key("opportunity", number),
            user=today.rep.email,
            occurred_at=created,
            updated_at=closes if closed else reached,
            name=f"{account}, {random.choice(('new business', 'expansion'))}",
            stage=("Won" if won else "Lost") if closed else _STAGES[stage],
            amount=amount,
            currency=currency,
            exchange_rate=rate,
            created_on=created.date(),
            closed_on=closes.date() if closed else None,
            won=won if closed else None,
        )
