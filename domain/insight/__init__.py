"""What to coach whom on, how a goal can still be reached, and where it will end: see the modules for the methods."""

from __future__ import annotations

from domain.insight.funnel import Measure
from domain.insight.goal_plans import GoalPlan, Outcome, PlanQuestion, PlanStep, goal_plan
from domain.insight.opportunities import Opportunity, Question, coaching_opportunities

__all__ = [
    "GoalPlan",
    "Measure",
    "Opportunity",
    "Outcome",
    "PlanQuestion",
    "PlanStep",
    "Question",
    "coaching_opportunities",
    "goal_plan",
]
