"""How the demo team is scored, what earns accolades there, and what its year has earned."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from domain import accolades, scores, teams
from domain.accolade_evaluation import evaluate_accolades
from domain.accolades import GrantAccolade, SetRule
from domain.database import Connection
from domain.demo.people import REPS, Story, demo_admin
from domain.identity import identify_user
from domain.models.goals import GoalPeriod
from domain.models.scores import AccoladeKind, ScoreKind
from domain.scores import SetDefinition, Weighting

_REPS = {
    ScoreKind.ACTIVITY: {"CALLS_LOGGED": 40, "EMAILS_SENT": 30, "MEETINGS_BOOKED": 30},
    ScoreKind.OBJECTIVE: {"CLOSED_WON_AMOUNT": 80, "REPLY_RATE": 20},
}
_MANAGERS = {ScoreKind.OBJECTIVE: {"CLOSED_WON_AMOUNT": 100}}
_KIND = AccoladeKind
_RULES = (
    SetRule(None, "First deal", _KIND.FIRST, metric="CLOSED_WON_COUNT"),
    SetRule(None, "Deal maker", _KIND.TOTAL, metric="CLOSED_WON_COUNT", levels=(Decimal(5), Decimal(10), Decimal(25))),
    SetRule(None, "On the phone", _KIND.TOTAL, metric="CALLS_LOGGED", levels=(Decimal(500), Decimal(1000))),
    SetRule(
        None,
        "Fifty thousand in a month",
        _KIND.TOTAL,
        metric="CLOSED_WON_AMOUNT",
        period=GoalPeriod.MONTH,
        levels=(Decimal(50_000),),
    ),
    SetRule(None, "Best month yet", _KIND.PERSONAL_BEST, metric="CLOSED_WON_AMOUNT", period=GoalPeriod.MONTH),
    SetRule(
        None,
        "Calls, week after week",
        _KIND.GOAL_STREAK,
        metric="CALLS_LOGGED",
        period=GoalPeriod.WEEK,
        levels=(Decimal(4), Decimal(8)),
    ),
    SetRule(
        None,
        "Steady",
        _KIND.SCORE_STREAK,
        score_kind=ScoreKind.ACTIVITY,
        minimum_score=Decimal(90),
        period=GoalPeriod.MONTH,
        levels=(Decimal(3), Decimal(6)),
    ),
)


async def create_scores(connection: Connection, team_id: UUID, anchor: date, history_days: int) -> None:
    """Say how reps and managers are scored since the history began, and what earns accolades; once for a team."""
    if await connection.fetchval("SELECT EXISTS (SELECT 1 FROM score_definitions WHERE team_id = $1)", team_id):
        return
    admin = await demo_admin(connection, team_id)
    first, now = anchor - timedelta(days=history_days), datetime.now(UTC)
    user_role = await teams.role_named(connection, team_id, teams.USER)
    manager_role = await teams.role_named(connection, team_id, "Manager")
    for role_id, kinds in ((user_role, _REPS), (manager_role, _MANAGERS)):
        for kind, weights in kinds.items():
            weightings = tuple(Weighting(metric, Decimal(weight)) for metric, weight in weights.items())
            request = SetDefinition(role_id, kind, weightings, effective_from=first)
            await scores.set_definition(connection, admin, request, now)
    for rule in _RULES:
        await accolades.set_rule(connection, admin, replace(rule, counts_from=first), now)


async def grant_earned(connection: Connection, team_id: UUID) -> None:
    """Grant what the history has earned, and, once, an accolade by hand: from the manager to the rising rep."""
    now = datetime.now(UTC)
    await evaluate_accolades(connection, team_id, now)
    if await connection.fetchval(
        "SELECT EXISTS (SELECT 1 FROM accolades WHERE team_id = $1 AND rule_id IS NULL)", team_id
    ):
        return
    rising = next(rep.email for rep in REPS if rep.story is Story.RISING)
    row = await connection.fetchrow(
        "SELECT u.id, u.manager_id FROM users u WHERE u.team_id = $1 AND u.email = $2", team_id, rising
    )
    manager = await identify_user(connection, team_id, row["manager_id"])
    assert manager is not None, "the manager of the rising rep is there"
    request = GrantAccolade(
        row["id"], "Call of the month", "You let the customer talk, and asked the one question that mattered."
    )
    await accolades.grant_by_hand(connection, manager, request, now)
