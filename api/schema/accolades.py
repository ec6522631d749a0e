"""Accolades, and the rules that grant them."""

from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

import strawberry

from api.context import Context
from api.schema.errors import UserError
from api.schema.goals import GoalPeriod
from api.schema.metrics import Metric
from api.schema.nodes import Node, global_id
from api.schema.people import User
from api.schema.scores import ScoreKind
from domain import accolades, events, models
from domain.ids import decode_any_id

Info = strawberry.Info[Context]

AccoladeKind = strawberry.enum(
    models.AccoladeKind,
    name="AccoladeKind",
    description="What a rule looks for. TOTAL: a metric's total reaches a level, ever or within a period. FIRST: the "
    "first of something. PERSONAL_BEST: more in a whole period than in any before it. GOAL_STREAK: a goal attained so "
    "many of its periods in a row. SCORE_STREAK: a score of at least so much for so many periods in a row.",
)
AccoladeEventType = strawberry.enum(
    events.AccoladeEventType, name="AccoladeEventType", description="What happened to an accolade."
)


@strawberry.type(description="What earns an accolade on the team; each milestone once for a person.")
class AccoladeRule(Node):
    name: str = strawberry.field(description="The title of its accolades.")
    description: str | None = strawberry.field(description="What it is for.")
    kind: AccoladeKind = strawberry.field(description="What it looks for.")
    metric: Metric | None = strawberry.field(description="The metric that counts; null for scores.")
    score_kind: ScoreKind | None = strawberry.field(description="The score that counts, for streaks of scores.")
    minimum_score: Decimal | None = strawberry.field(description="What the score must reach.")
    period: GoalPeriod | None = strawberry.field(description="Per what; null for what counts for ever.")
    levels: list[Decimal] = strawberry.field(
        description="The totals, or how many periods in a row; empty for a first and for bests."
    )
    counts_from: date = strawberry.field(
        description="What was reached before this day is not granted; streaks and bests count periods from here on."
    )
    version: int = strawberry.field(description="Grows by one with every change: give it as the expected version.")
    removed_at: datetime | None = strawberry.field(description="When it was removed; null while it is in force.")

    @classmethod
    def of(cls, rule: accolades.Rule) -> "AccoladeRule":
        return cls(
            id=global_id("AccoladeRule", rule.id),
            name=rule.name,
            description=rule.description,
            kind=rule.kind,
            metric=None if rule.metric is None else Metric[rule.metric],
            score_kind=rule.score_kind,
            minimum_score=rule.minimum_score,
            period=rule.period,
            levels=list(rule.levels),
            counts_from=rule.counts_from,
            version=rule.version,
            removed_at=rule.removed_at,
        )


@strawberry.type(description="Something that a person has earned. It stays when a correction takes the milestone away.")
class Accolade(Node):
    title: str = strawberry.field(description="What it is called: the rule's name as it was then.")
    message: str | None = strawberry.field(description="What who granted it by hand says.")
    milestone: str | None = strawberry.field(
        description="Which of the rule's; no person gets one twice. Null for one by hand."
    )
    level: Decimal | None = strawberry.field(description="The level that was reached.")
    value: Decimal | None = strawberry.field(description="What was reached when it was granted.")
    first_day: date | None = strawberry.field(description="Of the period or the streak.")
    achieved_on: date = strawberry.field(description="The day on which it was reached.")
    granted_at: datetime = strawberry.field(description="When it was granted.")
    revoked_at: datetime | None = strawberry.field(description="When it was revoked; null while it stands.")
    revoked_reason: str | None = strawberry.field(description="Why it was revoked.")
    view: strawberry.Private[accolades.AccoladeView]

    @classmethod
    def of(cls, view: accolades.AccoladeView) -> "Accolade":
        return cls(
            id=global_id("Accolade", view.id),
            title=view.title,
            message=view.message,
            milestone=view.milestone,
            level=view.level,
            value=view.value,
            first_day=view.first_day,
            achieved_on=view.achieved_on,
            granted_at=view.granted_at,
            revoked_at=view.revoked_at,
            revoked_reason=view.revoked_reason,
            view=view,
        )

    @strawberry.field(description="Whose.")
    async def user(self, info: Info) -> User | None:
        found = await info.context.users.load(self.view.user_id)
        return None if found is None else User.of(found)

    @strawberry.field(description="The rule that granted it; null for one by hand.")
    async def rule(self, info: Info) -> AccoladeRule | None:
        if self.view.rule_id is None:
            return None
        return AccoladeRule.of(await info.context.accolade_rules.load(self.view.rule_id))

    @strawberry.field(description="Who granted it by hand; null where the viewer may not see them.")
    async def granted_by(self, info: Info) -> User | None:
        if self.view.granted_by_id is None:
            return None
        found = await info.context.users.load(self.view.granted_by_id)
        return None if found is None else User.of(found)

    @strawberry.field(description="Who revoked it; null where the viewer may not see them.")
    async def revoked_by(self, info: Info) -> User | None:
        if self.view.revoked_by_id is None:
            return None
        found = await info.context.users.load(self.view.revoked_by_id)
        return None if found is None else User.of(found)


@strawberry.type(description="Something that happened to an accolade, which is shown as it stands when it is sent.")
class AccoladeEvent:
    cursor: str = strawberry.field(description="Give it as `after` to go on from here.")
    type: AccoladeEventType = strawberry.field(description="What happened.")
    accolade: Accolade = strawberry.field(description="To which accolade.")
    at: datetime = strawberry.field(description="When.")
    stored: strawberry.Private[events.StoredEvent]

    @classmethod
    def of(cls, stored: events.StoredEvent, accolade: accolades.AccoladeView) -> "AccoladeEvent":
        return cls(
            cursor=events.cursor_of(stored.team_id, stored.position),
            type=stored.type,
            accolade=Accolade.of(accolade),
            at=stored.occurred_at,
            stored=stored,
        )

    @strawberry.field(description="Who did it; null where nobody did, or the viewer may not see them.")
    async def actor(self, info: Info) -> User | None:
        actor_id = self.stored.actor_id
        found = None if actor_id is None else await info.context.users.load(actor_id)
        return None if found is None else User.of(found)


@strawberry.input(description="Which accolades; all conditions must hold.")
class AccoladeFilter:
    user_ids: list[strawberry.ID] | None = strawberry.field(default=None, description="Of these people.")
    rule_ids: list[strawberry.ID] | None = strawberry.field(default=None, description="Granted by these rules.")
    achieved_from: date | None = strawberry.field(default=None, description="Reached on this day or later.")
    achieved_to: date | None = strawberry.field(default=None, description="Reached on this day or before.")
    include_revoked: bool | None = strawberry.field(default=False, description="Revoked ones as well.")

    def to_domain(self) -> accolades.AccoladeFilter:
        def rows(given: list[strawberry.ID] | None, type_name: str) -> tuple[UUID, ...] | None:
            if given is None:
                return None
            # What is no id of the type finds nothing, as an id never issued.
            decoded = (decode_any_id(one) for one in given)
            return tuple(found[1] for found in decoded if found is not None and found[0] == type_name)

        return accolades.AccoladeFilter(
            rows(self.user_ids, "User"),
            rows(self.rule_ids, "AccoladeRule"),
            self.achieved_from,
            self.achieved_to,
            include_revoked=bool(self.include_revoked),
        )


@strawberry.input(description="A rule to make, or to change with its id. What a rule counts stays what it is.")
class SetAccoladeRuleInput:
    name: str = strawberry.field(description="The title of its accolades; no other rule may have it.")
    kind: AccoladeKind = strawberry.field(description="What to look for.")
    rule_id: strawberry.ID | None = strawberry.field(default=None, description="The rule to change; a new one without.")
    description: str | None = strawberry.field(default=None, description="What it is for.")
    metric: Metric | None = strawberry.field(
        default=None,
        description="The metric that counts, of which more is better; a rate only for streaks of its goal.",
    )
    score_kind: ScoreKind | None = strawberry.field(default=None, description="For streaks of scores: which score.")
    minimum_score: Decimal | None = strawberry.field(default=None, description="For streaks of scores: at least this.")
    period: GoalPeriod | None = strawberry.field(
        default=None, description="Per what: of bests and streaks; of a total that is to be reached within one."
    )
    levels: list[Decimal] | None = strawberry.field(
        default=None,
        description="From 1 to 10 rising totals, or periods in a row from 2 to 200; none for a first or a best.",
    )
    counts_from: date | None = strawberry.field(
        default=None,
        description="What was reached before this day is not granted; today without it, for a rule that changes as it "
        "was.",
    )
    expected_version: int | None = strawberry.field(
        default=None, description="Refuse if the rule is not at this version any more; 0 for none."
    )
    idempotency_key: str | None = strawberry.field(
        default=None, description="A repeated key answers as the first time and writes nothing; kept for a week."
    )


@strawberry.input(description="A rule to remove; what it granted stays.")
class RemoveAccoladeRuleInput:
    rule_id: strawberry.ID = strawberry.field(description="Which.")
    expected_version: int | None = strawberry.field(
        default=None, description="Refuse if the rule is not at this version any more."
    )


@strawberry.type(description="The rule as it stands.")
class AccoladeRulePayload:
    rule: AccoladeRule | None = strawberry.field(description="Null when it was refused.")
    errors: list[UserError] = strawberry.field(description="Why it was refused.")


@strawberry.input(description="An accolade to grant by hand.")
class GrantAccoladeInput:
    user_id: strawberry.ID = strawberry.field(description="To whom: somebody in your scope, not yourself.")
    title: str = strawberry.field(description="What it is called.")
    message: str | None = strawberry.field(default=None, description="What you say to it.")
    achieved_on: date | None = strawberry.field(default=None, description="When it was earned; today without it.")
    idempotency_key: str | None = strawberry.field(
        default=None, description="A repeated key answers as the first time and writes nothing; kept for a week."
    )


@strawberry.input(description="An accolade to take back. It is kept as revoked, and not granted again.")
class RevokeAccoladeInput:
    accolade_id: strawberry.ID = strawberry.field(description="Which.")
    reason: str | None = strawberry.field(default=None, description="Why.")


@strawberry.type(description="The accolade as it stands.")
class AccoladePayload:
    accolade: Accolade | None = strawberry.field(description="Null when it was refused.")
    errors: list[UserError] = strawberry.field(description="Why it was refused.")
