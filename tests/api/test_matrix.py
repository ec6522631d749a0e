"""Who gets which answer from each field and each argument, over every role and relation, against tests/api/matrix.txt.

The fields are found by introspection: a field, an argument with an id, or a type that is new fails here until its rule
stands in the matrix. `WRITE_MATRIX=1 pytest tests/api/test_matrix.py` writes it anew; what changes is to be
read like code.

A line of a node's field: a character for each relation. `v` a value, `-` null, `0` an empty list, `x` null beside
FORBIDDEN, `.` the object does not exist for the viewer.
A line of an argument: `v` taken, `x` FORBIDDEN, `.` as for an id never issued.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from graphql import (
    FieldNode,
    GraphQLInputObjectType,
    GraphQLObjectType,
    OperationDefinitionNode,
    OperationType,
    get_named_type,
    is_leaf_type,
    is_required_argument,
    parse,
    print_ast,
)

from api.schema.root import schema
from domain import ingest
from domain.database import ALL_TEAMS, acquire
from domain.ids import encode_id
from domain.models.base import new_id
from domain.models.people import Permission
from domain.records import decode_mapping
from tests.api.conftest import Api
from tests.factories import make_group, make_role, make_team, make_user

FILE = Path(__file__).with_name("matrix.txt")
WRITE = "WRITE_MATRIX"
RELATIONS = "me same below above branch report loose gone stranger".split()
ROLES = ["none", *(permission.value for permission in Permission), "everything", "admin"]
RECORDS: dict[str, dict[str, Any]] = {
    "EmailActivity": {
        "kind": "email",
        "subject": "s",
        "body": "b",
        "cadence": "c",
        "repliedAt": "2026-03-11T12:00:00Z",
    },
    "CallActivity": {"kind": "call", "durationSeconds": 9, "connected": True, "disposition": "d", "sentiment": "s"},
    "MeetingActivity": {
        "kind": "meeting",
        "startsAt": "2026-03-11T12:00:00Z",
        "endsAt": "2026-03-11T13:00:00Z",
        "status": "held",
        "title": "t",
    },
    "ConversationActivity": {
        "kind": "conversation",
        "durationSeconds": 60,
        "talkRatio": "0.5",
        "longestMonologueSeconds": 3,
        "questionsAsked": 2,
        "patienceSeconds": "1.5",
    },
    "CadenceStepActivity": {"kind": "cadence_step", "cadence": "c", "step": 1, "status": "completed"},
    "OpportunityActivity": {
        "kind": "opportunity",
        "name": "n",
        "stage": "s",
        "amount": "10",
        "currency": "USD",
        "createdOn": "2026-03-01",
        "closedOn": "2026-03-09",
        "won": True,
    },
    "TaskActivity": {"kind": "task", "completedAt": "2026-03-11T12:00:00Z", "title": "t"},
}
RANGE = '{from: "2026-03-01", to: "2026-03-31"}'
USER_ARGUMENTS = {
    "Query.individualView(userId)": "query($id: ID!) { individualView(userId: $id) { kinds { count } } }",
    "Query.scorecards(filter.userId)": "query($id: ID!) { scorecards(filter: {userId: $id}) { totalCount } }",
    "Query.activities(filter.userId)": "query($id: ID!) { activities(filter: {userId: $id}) { totalCount } }",
    "Query.individualDashboard(userId)": f"query($id: ID!) {{ individualDashboard(range: {RANGE}, userId: $id)"
    " { user { id } } }",
    "Query.goals(filter.userIds)": "query($id: ID!) { goals(filter: {userIds: [$id]}) { totalCount } }",
    "Query.accolades(filter.userIds)": "query($id: ID!) { accolades(filter: {userIds: [$id]}) { totalCount } }",
    "Mutation.grantAccolade(input.userId)": 'mutation($id: ID!) { grantAccolade(input: {userId: $id, title: "t"})'
    " { errors { code } } }",
    "Query.coachingOpportunities(userId)": f"query($id: ID) {{ coachingOpportunities(range: {RANGE}, userId: $id)"
    " { metric } }",
    "Query.coachingPlans(userId)": "query($id: ID!) { coachingPlans(userId: $id) { id } }",
    "Query.coachingSessions(filter.userId)": "query($id: ID!) { coachingSessions(filter: {userId: $id,"
    " everybody: true}) { totalCount } }",
    "Query.coachingSessions(filter.coachId)": "query($id: ID!) { coachingSessions(filter: {coachId: $id,"
    " everybody: true}) { totalCount } }",
    "Mutation.createCoachingPlan(input.userId)": "mutation($id: ID!) { createCoachingPlan(input: {userId: $id,"
    ' title: "t"}) { errors { code } } }',
    "Mutation.planCoachingSession(input.userId)": "mutation($id: ID!) { planCoachingSession(input: {userId: $id,"
    ' startsAt: "2026-03-01T10:00:00Z"}) { errors { code } } }',
    "Mutation.createCoachingSeries(input.userId)": "mutation($id: ID!) { createCoachingSeries(input: {userId: $id,"
    ' firstStart: "2026-03-01T10:00", rule: "FREQ=WEEKLY", endsOn: "2026-03-01"}) { errors { code } } }',
    "Mutation.createCoachingProgram(input.managerIds)": "mutation($id: ID!) { createCoachingProgram(input: {"
    'name: "t", managerIds: [$id], firstDay: "2026-11-02"}) { errors { code } } }',
    "Query.tokens(userId)": "query($id: ID) { tokens(userId: $id) { id } }",
    "Query.auditLog(filter.userId)": "query($id: ID!) { auditLog(filter: {userId: $id}) { totalCount } }",
    "Query.auditLog(filter.actorId)": "query($id: ID!) { auditLog(filter: {actorId: $id}) { totalCount } }",
    "Query.scheduledActions(filter.userId)": "query($id: ID!) { scheduledActions(filter: {userId: $id})"
    " { totalCount } }",
    "Mutation.createScheduledAction(input.userIds)": "mutation($id: ID!) { createScheduledAction(input: {"
    'kind: DIGEST, dueAt: "2027-01-01T00:00:00Z", userIds: [$id]}) { errors { code } } }',
    "Query.node(id)": "query($id: ID!) { node(id: $id) { id } }",
    "Query.nodes(ids)": "query($id: ID!) { nodes(ids: [$id]) { id } }",
    "Mutation.updateUser(input.userId)": "mutation($id: ID!) { updateUser(input: {userId: $id}) { errors { code } } }",
    "Mutation.reactivateUser(input.userId)": "mutation($id: ID!) { reactivateUser(input: {userId: $id})"
    " { errors { code } } }",
    "Mutation.setGoals(input.userIds)": "mutation($id: ID!) { setGoals(input: {metric: CALLS_LOGGED, period: WEEK,"
    ' target: "5", userIds: [$id]}) { errors { code } } }',
    "Mutation.addDaysOff(input.userId)": 'mutation($id: ID!) { addDaysOff(input: {userId: $id, from: "2026-03-01",'
    ' to: "2026-03-01"}) { errors { code } } }',
}
GROUP_ARGUMENTS = {
    "Query.activities(filter.groupId)": "query($id: ID!) { activities(filter: {groupId: $id}) { totalCount } }",
    "Query.users(filter.groupId)": "query($id: ID!) { users(filter: {groupId: $id}) { totalCount } }",
    "Query.teamDashboard(groupId)": f"query($id: ID!) {{ teamDashboard(range: {RANGE}, groupId: $id) {{ from }} }}",
    "Query.individuals(groupId)": f"query($id: ID!) {{ individuals(range: {RANGE}, groupId: $id) {{ totalCount }} }}",
    "Query.scores(groupId)": f"query($id: ID!) {{ scores(range: {RANGE}, kind: ACTIVITY, groupId: $id)"
    " { totalCount } }",
    "Query.goals(filter.groupIds)": "query($id: ID!) { goals(filter: {groupIds: [$id]}) { totalCount } }",
    "Query.members(filter.groupId)": "query($id: ID!) { members(filter: {groupId: $id}) { totalCount } }",
    "Mutation.updateGroup(input.groupId)": "mutation($id: ID!) { updateGroup(input: {groupId: $id})"
    " { errors { code } } }",
    "Mutation.setGoals(input.groupIds)": "mutation($id: ID!) { setGoals(input: {metric: CALLS_LOGGED, period: WEEK,"
    ' target: "5", groupIds: [$id]}) { errors { code } } }',
}
ELSEWHERE = {
    "Query.individualView(filter.userId)": "narrows what is in sight",
    "Query.individualView(filter.groupId)": "as Query.activities",
    "IndividualView.activities(filter.userId)": "narrows what is in sight",
    "Query.scorecards(filter.scorerId)": "narrows what is in sight; tests/domain/test_scorecards.py",
    "Query.scorecards(filter.templateId)": "narrows what is in sight; tests/domain/test_scorecards.py",
    "Query.calibrations(templateId)": "narrows what is in sight; tests/domain/test_scorecards.py",
    "Query.calibrationReport(templateId)": "TEAM_VIEW, calibrations in sight; tests/domain/test_scorecards.py",
    "Query.colleagues(activityId)": "as the activity; tests/api/test_film.py",
    **{
        f"Mutation.{name}": "as the activity; tests/domain/test_film.py"
        for name in (
            "addComment(input.activityId)",
            "addComment(input.answersId)",
            "addComment(input.mentionIds)",
            "editComment(input.commentId)",
            "editComment(input.mentionIds)",
            "deleteComment(input.commentId)",
            "markReviewed(input.activityId)",
            "unmarkReviewed(input.activityId)",
        )
    },
    "Mutation.markMentions(input.mentionIds)": "one's own; tests/domain/test_film.py",
    **{
        f"Mutation.{name}": "as the activity, and its own rules; tests/domain/test_scorecards.py"
        for name in (
            "updateScorecardTemplate(input.templateId)",
            "saveScorecard(input.activityId)",
            "saveScorecard(input.templateId)",
            "submitScorecard(input.scorecardId)",
            "removeScorecard(input.scorecardId)",
            "startCalibration(input.activityId)",
            "startCalibration(input.templateId)",
            "startCalibration(input.scorerIds)",
            "closeCalibration(input.calibrationId)",
        )
    },
    **{
        f"Mutation.{name}": "one's own; tests/domain/test_sharing.py"
        for name in (
            "createPlaylist(input.groupId)",
            "updatePlaylist(input.playlistId)",
            "updatePlaylist(input.groupId)",
            "removePlaylist(input.playlistId)",
            "addPlaylistItem(input.playlistId)",
            "addPlaylistItem(input.activityId)",
            "updatePlaylistItem(input.itemId)",
            "updatePlaylistItem(input.afterItemId)",
            "removePlaylistItem(input.itemId)",
            "requestFeedback(input.activityId)",
            "requestFeedback(input.askedIds)",
            "answerFeedbackRequest(input.requestId)",
            "answerFeedbackRequest(input.commentId)",
            "answerFeedbackRequest(input.scorecardId)",
            "declineFeedbackRequest(input.requestId)",
            "withdrawFeedbackRequest(input.requestId)",
        )
    },
    "Query.goalPlan(goalId)": "as the goal, and the numbers of whom it is for; tests/api/test_insight.py",
    "Mutation.deactivateUser(input.userId)": "the same rule as updateUser; tests/domain/test_administration.py",
    "Mutation.eraseUser(input.userId)": "Admin, not oneself; tests/domain/test_erasure.py",
    "Mutation.inviteUser(input.groupId)": "MANAGE_TEAM; tests/domain/test_administration.py",
    "Mutation.inviteUser(input.managerId)": "MANAGE_TEAM; tests/domain/test_administration.py",
    "Mutation.inviteUser(input.roleId)": "MANAGE_TEAM and the role's own; tests/domain/test_administration.py",
    "Mutation.updateUser(input.groupId)": "MANAGE_TEAM; tests/domain/test_administration.py",
    "Mutation.updateUser(input.managerId)": "MANAGE_TEAM; tests/domain/test_administration.py",
    "Mutation.updateUser(input.roleId)": "MANAGE_TEAM and the role's own; tests/domain/test_administration.py",
    "Mutation.createGroup(input.parentId)": "MANAGE_TEAM; tests/domain/test_administration.py",
    "Mutation.updateGroup(input.parentId)": "MANAGE_TEAM; tests/domain/test_administration.py",
    "Mutation.removeGroup(input.groupId)": "MANAGE_TEAM; tests/domain/test_administration.py",
    "Mutation.updateRole(input.roleId)": "MANAGE_TEAM and the role's own; tests/domain/test_administration.py",
    "Mutation.removeRole(input.roleId)": "MANAGE_TEAM and the role's own; tests/domain/test_administration.py",
    "Mutation.createToken(input.userId)": "oneself or Admin; tests/api/test_administration.py",
    "Mutation.revokeToken(input.tokenId)": "oneself or MANAGE_TEAM; tests/api/test_administration.py",
    "Query.accolades(filter.ruleIds)": "narrows what is in sight; rules are everybody's to know",
    "Query.scores(roleId)": "own and those of people in sight, all with MANAGE_TEAM; tests/api/test_scores.py",
    "Query.scoreDefinitions(roleId)": "as Query.scores(roleId)",
    "Mutation.setScoreDefinition(input.roleId)": "MANAGE_TEAM; tests/domain/test_scores.py",
    "Mutation.removeScoreDefinition(input.definitionId)": "MANAGE_TEAM; tests/api/test_scores.py",
    "Mutation.setAccoladeRule(input.ruleId)": "MANAGE_TEAM; tests/domain/test_accolades.py",
    "Mutation.removeAccoladeRule(input.ruleId)": "MANAGE_TEAM; tests/domain/test_accolades.py",
    "Mutation.revokeAccolade(input.accoladeId)": "in sight, who granted it or MANAGE_TEAM; tests/api/test_scores.py",
    **{
        f"Mutation.{name}": "who takes part; tests/api/test_plans.py"
        for name in (
            "updateCoachingPlan(input.planId)",
            "updateCoachingPlan(input.coCoachIds)",
            "updateCoachingPlan(input.coachId)",
            "createCoachingPlan(input.coCoachIds)",
            "addPlanItem(input.planId)",
            "updatePlanItem(input.itemId)",
            "removePlanItem(input.itemId)",
            "addCoachingNote(input.planId)",
            "addCoachingNote(input.sessionId)",
            "editCoachingNote(input.noteId)",
            "removeCoachingNote(input.noteId)",
            "planCoachingSession(input.coCoachIds)",
            "planCoachingSession(input.planId)",
            "updateCoachingSession(input.sessionId)",
            "updateCoachingSession(input.coCoachIds)",
            "updateCoachingSession(input.planId)",
            "recordCoachingSession(input.sessionId)",
            "attachSessionFilm(input.sessionId)",
            "attachSessionFilm(input.activityIds)",
            "detachSessionFilm(input.sessionId)",
            "detachSessionFilm(input.activityIds)",
            "createCoachingSeries(input.coCoachIds)",
            "createCoachingSeries(input.planId)",
            "moveCoachingOccurrence(input.seriesId)",
            "endCoachingSeries(input.seriesId)",
        )
    },
    "Query.coachingSessions(filter.planId)": "narrows what is in sight; tests/api/test_plans.py",
    "Mutation.createCoachingPlan(input.templateId)": "TEAM_VIEW; tests/api/test_plans.py",
    "Mutation.saveCoachingTemplate(input.templateId)": "one's own, any with MANAGE_TEAM; tests/api/test_plans.py",
    "Mutation.removeCoachingTemplate(input.templateId)": "one's own, any with MANAGE_TEAM; tests/api/test_plans.py",
    **{
        f"Mutation.{name}": "who made it, any with MANAGE_TEAM; tests/domain/test_plan_programs.py"
        for name in (
            "updateCoachingProgram(input.programId)",
            "updateCoachingProgram(input.managerIds)",
            "endCoachingProgram(input.programId)",
        )
    },
    "Mutation.removeGoals(input.goalIds)": "as the goal's subject; tests/api/test_goals.py",
    "Mutation.setGoals(input.expectedVersions.subjectId)": "names a subject of the same input",
    "Mutation.removeDaysOff(input.daysOffId)": "as the person's goals; tests/domain/test_goals.py",
    "Mutation.retryQuarantined(input.importId)": "MANAGE_TEAM; tests/api/test_permissions.py",
    "Query.job(id)": "who asked for it, and MANAGE_TEAM; tests/api/test_permissions.py",
    "Subscription.jobProgress(jobId)": "as job; tests/api/test_streams.py",
    "Subscription.goalEvents(filter.userIds)": "narrows what is in sight; tests/api/test_streams.py",
    "Subscription.goalEvents(filter.groupIds)": "narrows what is in sight; tests/api/test_streams.py",
    "Subscription.metricsUpdated(groupId)": "as teamDashboard; tests/api/test_streams.py",
    "User.activities(filter.userId)": "narrows what is in sight",
    "User.activities(filter.groupId)": "as Query.activities",
    **{
        f"Mutation.{name}WebhookEndpoint(input.{field})": "MANAGE_TEAM; tests/api/test_webhooks.py"
        for name in ("create", "update", "delete", "replay", "test", "pause", "resume")
        for field in ("endpointId", "filter.userIds", "filter.groupIds")
    },
    **{
        f"Mutation.{verb}Integration(input.integrationId)": "one's own; the team's with MANAGE_TEAM;"
        " tests/api/test_integrations.py"
        for verb in ("authorize", "update", "disconnect", "sync")
    },
    "Mutation.previewFieldMapping(input.integrationId)": "MANAGE_TEAM; tests/api/test_integrations.py",
    "Mutation.setFieldMapping(input.integrationId)": "MANAGE_TEAM; tests/api/test_integrations.py",
    "Mutation.cancelJob(input.jobId)": "as job; tests/api/test_integrations.py",
    **{
        f"Mutation.{name}(input.ids)": "one's own; of people in scope with MANAGE_GOALS or MANAGE_TEAM; the team's with"
        " MANAGE_TEAM; tests/api/test_actions.py"
        for name in (
            "rescheduleScheduledActions",
            "pauseScheduledActions",
            "resumeScheduledActions",
            "runScheduledActionsNow",
            "cancelScheduledActions",
            "snoozeScheduledActions",
        )
    },
    **{
        f"Mutation.createScheduledAction(input.{field})": rule
        for field, rule in (
            ("endpointId", "MANAGE_TEAM; tests/api/test_actions.py"),
            ("groupId", "as teamDashboard; domain/action_kinds.py"),
            ("integrationId", "as syncIntegration; tests/api/test_actions.py"),
            ("rollOver.userIds", "as setGoals; domain/action_kinds.py"),
            ("rollOver.groupIds", "as setGoals; domain/action_kinds.py"),
        )
    },
    "Mutation.deleteExport(input.exportId)": "who asked for it; tests/api/test_exports.py",
    "Mutation.rotateWebhookSecret(input.endpointId)": "MANAGE_TEAM; tests/api/test_webhooks.py",
    "Query.liveCalls(filter.userIds)": "narrows what is in sight; tests/api/test_live_calls.py",
    **{
        f"Mutation.{name}(input.callId)": "as the call; tests/api/test_live_calls.py"
        for name in ("joinLiveCall", "changeLiveCallMode", "leaveLiveCall", "addLiveCallNote")
    },
    "Mutation.removeLiveCallNote(input.noteId)": "one's own; tests/api/test_live_calls.py",
    "Mutation.rotateDialerSecret(input.dialerId)": "MANAGE_TEAM; tests/api/test_live_calls.py",
    "Mutation.removeDialer(input.dialerId)": "MANAGE_TEAM; tests/api/test_live_calls.py",
}


class World:
    """A team with somebody in each relation to the viewer, each with one of everything; with groups or without."""

    def __init__(self, *, grouped: bool) -> None:
        self.grouped = grouped
        self.nodes: dict[str, dict[str, str]] = {}
        self.users: dict[str, UUID] = {}
        self.groups: dict[str, UUID] = {}

    async def build(self) -> World:
        async with acquire(ALL_TEAMS) as connection:
            self.team = await make_team(connection)
            other_team = await make_team(connection)
            role, other_role = await make_role(connection, self.team), await make_role(connection, other_team)
            above = await self._group(connection, "above", None)
            mine = await self._group(connection, "me", above)
            if mine is not None:
                self.groups["same"] = mine
            below = await self._group(connection, "below", mine)
            branch = await self._group(connection, "branch", None)
            me = self.viewer = await make_user(connection, self.team, role, group_id=mine)
            places: dict[str, dict[str, Any]] = {
                "same": {"group_id": mine},
                "below": {"group_id": below},
                "above": {"group_id": above},
                "branch": {"group_id": branch},
                "report": {"group_id": branch, "manager_id": me},
                "loose": {},
                "gone": {"group_id": mine, "active": False},
            }
            self.users["me"] = me
            for name, place in places.items():
                self.users[name] = await make_user(connection, self.team, role, **place)
            await connection.execute("UPDATE users SET manager_id = $2 WHERE id = $1", me, self.users["above"])
            self.users["stranger"] = await make_user(connection, other_team, other_role)
            if self.grouped:
                self.groups["stranger"] = await make_group(connection, other_team, "stranger")
            for relation, user_id in self.users.items():
                await self._goal(connection, relation, user_id)
                await self._calendar(connection, relation, user_id)
                await self._live_call(connection, relation, user_id)
                await self._scheduled(connection, relation, user_id)
                await self._accolade(connection, relation, user_id)
                await self._coaching(connection, relation, user_id)
            await self._scored(connection, self.team, role)
            await self._scored(connection, other_team, other_role)
        for relation, user_id in self.users.items():
            team = other_team if relation == "stranger" else self.team
            await self._activities(team, relation, user_id)
        return self

    async def _group(self, connection: Any, name: str, parent: UUID | None) -> UUID | None:
        if not self.grouped:
            return None
        self.groups[name] = await make_group(connection, self.team, name, parent)
        return self.groups[name]

    async def _calendar(self, connection: Any, relation: str, user_id: UUID) -> None:
        """A calendar that somebody has connected: nobody's business but theirs."""
        row_id = new_id()
        await connection.execute(
            "INSERT INTO integrations (id, team_id, kind, name, owner_id, state, interval_minutes) "
            "SELECT $1, team_id, 'caldav', 'Calendar', id, 'ACTIVE', 15 FROM users WHERE id = $2",
            row_id,
            user_id,
        )
        self.nodes.setdefault("Integration", {})[relation] = encode_id("Integration", row_id)

    async def _coaching(self, connection: Any, relation: str, user_id: UUID) -> None:
        """A plan of somebody's and a session, with notes of both sorts; the coach is nobody in a relation."""
        team = await connection.fetchval("SELECT team_id FROM users WHERE id = $1", user_id)
        coach = await make_user(connection, team, await make_role(connection, team), is_rep=False)
        plan_id, session_id = new_id(), new_id()
        await connection.execute(
            "INSERT INTO coaching_plans (id, team_id, user_id, coach_id, title, agenda, status, starts_on, ends_on) "
            "VALUES ($1, $2, $3, $4, 't', 'a', 'ACTIVE', '2026-03-01', '2026-03-31')",
            plan_id,
            team,
            user_id,
            coach,
        )
        await connection.execute(
            "INSERT INTO plan_items (id, team_id, plan_id, title) VALUES ($1, $2, $3, 'i')", new_id(), team, plan_id
        )
        await connection.execute(
            "INSERT INTO plan_focuses (id, team_id, plan_id, metric, position) VALUES ($1, $2, $3, 'CALLS_LOGGED', 0)",
            new_id(),
            team,
            plan_id,
        )
        await connection.execute(
            "INSERT INTO coaching_sessions (id, team_id, user_id, coach_id, plan_id, title, agenda, starts_at, "
            "duration_minutes, state, held_at) VALUES ($1, $2, $3, $4, $5, 's', 'a', '2026-03-10T12:00:00Z', 30, "
            "'HELD', '2026-03-10T12:00:00Z')",
            session_id,
            team,
            user_id,
            coach,
            plan_id,
        )
        for plan, session in ((plan_id, None), (None, session_id)):
            for visibility in ("SHARED", "PRIVATE"):
                await connection.execute(
                    "INSERT INTO coaching_notes (id, team_id, plan_id, session_id, author_id, visibility, body) "
                    "VALUES ($1, $2, $3, $4, $5, $6, 'n')",
                    new_id(),
                    team,
                    plan,
                    session,
                    coach,
                    visibility,
                )
        self.nodes.setdefault("CoachingPlan", {})[relation] = encode_id("CoachingPlan", plan_id)
        self.nodes.setdefault("CoachingSession", {})[relation] = encode_id("CoachingSession", session_id)

    async def _accolade(self, connection: Any, relation: str, user_id: UUID) -> None:
        """Something that somebody has earned."""
        row_id = new_id()
        await connection.execute(
            "INSERT INTO accolades (id, team_id, user_id, title, message, achieved_on, granted_by_id) "
            "SELECT $1, team_id, id, 'Well done', 'A fine call', '2026-03-10', id FROM users WHERE id = $2",
            row_id,
            user_id,
        )
        self.nodes.setdefault("Accolade", {})[relation] = encode_id("Accolade", row_id)

    async def _scored(self, connection: Any, team: UUID, role: UUID) -> None:
        """How people of a role are scored."""
        row_id = new_id()
        await connection.execute(
            "INSERT INTO score_definitions (id, team_id, role_id, kind) VALUES ($1, $2, $3, 'ACTIVITY')",
            row_id,
            team,
            role,
        )
        await connection.execute(
            "INSERT INTO score_versions (id, team_id, definition_id, version, metrics, weights, cap, effective_from) "
            "VALUES ($1, $2, $3, 1, '{EMAILS_SENT}', '{100}', 2, '2026-01-01')",
            new_id(),
            team,
            row_id,
        )

    async def _scheduled(self, connection: Any, relation: str, user_id: UUID) -> None:
        """Something that is due, of somebody's, and a snapshot that was made for them."""
        row_id, snapshot_id = new_id(), new_id()
        await connection.execute(
            "INSERT INTO scheduled_actions (id, team_id, key, kind, title, user_id, created_by_id, recurrence, "
            "starts_local, timezone, last_error, source, arguments, starts_at, planned_at, due_at, run_at) "
            "SELECT $1, team_id, $3, 'email', 't', id, id, 'FREQ=DAILY', '2030-01-01T00:00:00', 'UTC', 'e', 's', "
            """'{"cadence": "c", "person": "p", "range": "TODAY"}', x.at, x.at, x.at, x.at """
            "FROM users, (SELECT timestamptz '2030-01-01Z' AS at) x WHERE id = $2",
            row_id,
            user_id,
            relation,
        )
        await connection.execute(
            "INSERT INTO report_snapshots (id, team_id, user_id, title, from_day, to_day, whole_team, subjects, "
            "table_csv, picture_png, expires_at) SELECT $1, team_id, id, 't', '2026-03-01', '2026-03-31', false, "
            "ARRAY[id], 'a', 'b', now() + interval '1 day' FROM users WHERE id = $2",
            snapshot_id,
            user_id,
        )
        self.nodes.setdefault("ScheduledAction", {})[relation] = encode_id("ScheduledAction", row_id)
        self.nodes.setdefault("ReportSnapshot", {})[relation] = encode_id("ReportSnapshot", snapshot_id)

    async def _live_call(self, connection: Any, relation: str, user_id: UUID) -> None:
        """A call in progress of somebody's, with a note, told by a dialer of their team's."""
        dialer_id, row_id, note_id = new_id(), new_id(), new_id()
        await connection.execute(
            "INSERT INTO dialers (id, team_id, name, secret) SELECT $1, team_id, $3, 'x' FROM users WHERE id = $2",
            dialer_id,
            user_id,
            relation,
        )
        await connection.execute(
            "INSERT INTO live_calls (id, team_id, dialer_id, external_id, user_id, state, direction, counterpart, "
            "started_at, answered_at, leased_until, facts) SELECT $1, team_id, $2, 'x', id, 'IN_PROGRESS', 'INBOUND', "
            "'c', now(), now(), now() + interval '1 hour', '{}' FROM users WHERE id = $3",
            row_id,
            dialer_id,
            user_id,
        )
        await connection.execute(
            "INSERT INTO live_call_notes (id, team_id, call_id, author_id, at_second, text) "
            "SELECT $1, team_id, $2, id, 1, 'n' FROM users WHERE id = $3",
            note_id,
            row_id,
            user_id,
        )
        self.nodes.setdefault("LiveCall", {})[relation] = encode_id("LiveCall", row_id)
        self.nodes.setdefault("Dialer", {})[relation] = encode_id("Dialer", dialer_id)

    async def _film(self, team: UUID, relation: str, user_id: UUID, activity_id: UUID) -> None:
        """What somebody said of their own conversation, how it was scored, and where it is shown, by nobody in a
        relation: who asks is the only one that is asked, so that a request is the owner's alone."""
        async with acquire(ALL_TEAMS) as connection:
            nobody = await make_user(connection, team, await make_role(connection, team), is_rep=False)
            made: dict[str, UUID] = {}

            async def row(name: str, table: str, /, **columns: Any) -> None:
                made[name] = columns["id"] = new_id()
                columns["team_id"] = team
                places = ", ".join(f"${number}" for number in range(1, len(columns) + 1))
                await connection.execute(
                    f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})", *columns.values()
                )

            await connection.execute(
                "INSERT INTO films (id, team_id, user_id) VALUES ($1, $2, $3)", activity_id, team, user_id
            )
            film = {"activity_id": activity_id, "user_id": user_id}
            submitted = {"state": "SUBMITTED", "submitted_at": datetime(2026, 3, 12, tzinfo=UTC)}
            asked = '[{"key": "k", "text": "t", "kind": "YES_NO", "steps": null, "weight": "1", "required": true, '
            asked += '"help": null}]'
            await row("template", "scorecard_templates", name=f"t {relation}", created_by_id=nobody)
            await row(
                "version",
                "scorecard_versions",
                template_id=made["template"],
                version=1,
                questions=asked,
                published_by_id=nobody,
            )
            filled = {"template_id": made["template"], "version": 1}
            await row("Comment", "comments", **film, author_id=nobody, body="b", at_seconds=1)
            await row(
                "Calibration",
                "calibrations",
                **film,
                **filled,
                organizer_id=nobody,
                state="CLOSED",
                closed_at=submitted["submitted_at"],
            )
            await row(
                "Scorecard",
                "scorecards",
                **film,
                **filled,
                **submitted,
                scorer_id=nobody,
                relation="PEER",
                answers='{"k": {"value": true}}',
                note="n",
                score=100,
                calibration_id=made["Calibration"],
            )
            await row("Playlist", "playlists", owner_id=user_id, name="p", description="d")
            await row("item", "playlist_items", **film, playlist_id=made["Playlist"], position=1)
            await row("FeedbackRequest", "feedback_requests", **film, asked_id=nobody, message="m")
        for name in ("Comment", "Scorecard", "Calibration", "Playlist", "FeedbackRequest"):
            self.nodes.setdefault(name, {})[relation] = encode_id(name, made[name])

    async def _goal(self, connection: Any, relation: str, user_id: UUID) -> None:
        goal_id = new_id()
        team = await connection.fetchval("SELECT team_id FROM users WHERE id = $1", user_id)
        await connection.execute(
            "INSERT INTO goals (id, team_id, user_id, metric, period) VALUES ($1, $2, $3, 'EMAILS_SENT', 'WEEK')",
            goal_id,
            team,
            user_id,
        )
        await connection.execute(
            "INSERT INTO goal_versions (id, team_id, goal_id, version, target, effective_from, set_by_id) "
            "VALUES ($1, $2, $3, 1, 5, '2026-01-01', $4)",
            new_id(),
            team,
            goal_id,
            user_id,
        )
        self.nodes.setdefault("Goal", {})[relation] = encode_id("Goal", goal_id)

    async def _activities(self, team: UUID, relation: str, user_id: UUID) -> None:
        async with acquire(ALL_TEAMS) as connection:
            email = await connection.fetchval("SELECT email FROM users WHERE id = $1", user_id)
        records = [
            {**record, "externalId": f"{relation} {name}", "user": email, "occurredAt": "2026-03-10T12:00:00Z"}
            for name, record in RECORDS.items()
        ]
        outcome = await ingest.take_in(team, "test", [(n, decode_mapping(one)) for n, one in enumerate(records)])
        assert outcome.accepted == len(records), outcome.errors
        async with acquire(ALL_TEAMS) as connection:
            rows = await connection.fetch("SELECT id, external_id FROM activities WHERE user_id = $1", user_id)
        for row in rows:
            name = row["external_id"].removeprefix(f"{relation} ")
            self.nodes.setdefault(name, {})[relation] = encode_id(name, row["id"])
            if name == "ConversationActivity":
                await self._film(team, relation, user_id, row["id"])
        self.nodes.setdefault("User", {})[relation] = encode_id("User", user_id)
        if relation in self.groups:
            self.nodes.setdefault("Group", {})[relation] = encode_id("Group", self.groups[relation])

    async def become(self, role: str) -> None:
        allowed = {"none": [], "everything": list(Permission), "admin": []}.get(role, [role])
        async with acquire(ALL_TEAMS) as connection:
            known = await connection.fetchval("SELECT id FROM roles WHERE team_id = $1 AND name = $2", self.team, role)
            role_id = known or await make_role(connection, self.team, *allowed, is_admin=role == "admin", name=role)
            await connection.execute("UPDATE users SET role_id = $2 WHERE id = $1", self.viewer, role_id)


def _selection(made: GraphQLObjectType) -> dict[str, str]:
    """Every field of a type that needs no argument, with what to ask of it."""
    found = {}
    for name, field in made.fields.items():
        named = get_named_type(field.type)
        arguments = ""
        if any(is_required_argument(argument) for argument in field.args.values()):
            arguments = '(from: "2026-03-01", to: "2026-03-02")'
            assert set(field.args) == {"from", "to"}, f"{made}.{name}: say in the test how to ask for it"
        below = (
            "" if is_leaf_type(named) else " { totalCount }" if str(named).endswith("Connection") else " { __typename }"
        )
        found[name] = f"{name}{arguments}{below}"
    return found


def _outcome(data: Any, name: str, forbidden: set[str]) -> str:
    if data is None:
        return "."
    if name in forbidden:
        return "x"
    value = data[name]
    if value in ([], {"totalCount": 0}):
        return "0"
    return "-" if value is None else "v"


async def _node_lines(api: Api, token: str, world: World, role: str) -> list[str]:
    lines = []
    for type_name, ids in sorted(world.nodes.items()):
        made = schema._schema.type_map[type_name]
        assert isinstance(made, GraphQLObjectType)
        fields = _selection(made)
        document = f"query($id: ID!) {{ node(id: $id) {{ ... on {type_name} {{ {' '.join(fields.values())} }} }} }}"
        answers = dict(zip(ids, await _ask(api, token, document, list(ids.values())), strict=True))
        outcomes: dict[str, str] = dict.fromkeys(fields, "")
        for relation in RELATIONS:
            if relation not in ids:
                outcomes = {name: shown + " " for name, shown in outcomes.items()}
                continue
            errors = answers[relation]["errors"]
            assert all(error["extensions"]["code"] == "FORBIDDEN" for error in errors), errors
            forbidden = {error["path"][1] for error in errors}
            data = answers[relation]["data"]["node"]
            for name in fields:
                outcomes[name] += _outcome(data, name, forbidden)
        lines += [f"{type_name}.{name} | {_place(world)} | {role} | {shown}" for name, shown in outcomes.items()]
    return lines


def _place(world: World) -> str:
    return "groups" if world.grouped else "no groups"


async def _argument_lines(api: Api, token: str, world: World, role: str) -> list[str]:
    lines = []
    for documents, rows, type_name in (
        (USER_ARGUMENTS, world.users, "User"),
        (GROUP_ARGUMENTS, world.groups, "Group"),
    ):
        for argument, document in documents.items():
            ids = [encode_id(type_name, row_id) for row_id in (new_id(), *rows.values())]
            never, *told = await _ask(api, token, document, ids)
            answers = dict(zip(rows, told, strict=True))
            shown = "".join(_taken(answers[one], never) if one in rows else " " for one in RELATIONS)
            lines.append(f"{argument} | {_place(world)} | {role} | {shown}")
    return lines


async def _ask(api: Api, token: str, document: str, ids: list[str]) -> list[dict[str, Any]]:
    """What one field answers to each of several ids, each as if it had been asked alone.

    A query asks for all of them at once under aliases, unless one's error takes away the others' data.
    """
    alone, together = _operations(document, len(ids))
    if together is not None:
        answer = await api.query(token, together, **{f"id{n}": one for n, one in enumerate(ids)})
        if answer["data"] is not None:
            return [_part(answer, alone.name.value, f"a{n}") for n in range(len(ids))]
    return [_part(await api.query(token, document, id=one), alone.name.value) for one in ids]


@cache
def _operations(document: str, number: int) -> tuple[FieldNode, str | None]:
    """A document's only field, and the document that asks for it many times; None where that would change data."""
    (operation,) = parse(document).definitions
    assert isinstance(operation, OperationDefinitionNode)
    (field,) = operation.selection_set.selections
    assert isinstance(field, FieldNode)
    if operation.operation is not OperationType.QUERY:
        return field, None
    (variable,) = operation.variable_definitions or ()
    declared = ", ".join(f"$id{n}: {print_ast(variable.type)}" for n in range(number))
    fields = (f"a{n}: {print_ast(field).replace('$id', f'$id{n}')}" for n in range(number))
    return field, f"query({declared}) {{ {' '.join(fields)} }}"


def _part(answer: dict[str, Any], name: str, alias: str | None = None) -> dict[str, Any]:
    """What an answer says of one field, without what tells one request, or one place in it, from another."""
    errors = [
        {"message": error["message"], "path": [name, *error["path"][1:]], "extensions": error["extensions"]}
        for error in answer.get("errors", [])
        if error["path"][0] == (alias or name)
    ]
    for error in errors:
        del error["extensions"]["requestId"]
    return {"data": answer["data"] and {name: answer["data"][alias or name]}, "errors": errors}


def _taken(answer: dict[str, Any], never: dict[str, Any]) -> str:
    if any(error["extensions"]["code"] == "FORBIDDEN" for error in answer["errors"]):
        return "x"
    return "." if answer == never else "v"


def _held_lines() -> list[str]:
    """The fields of types that are no nodes of their own: seen by who sees what holds them."""
    graphql = schema._schema
    reached = {
        *RECORDS,
        "Comment",
        "Scorecard",
        "Calibration",
        "Playlist",
        "FeedbackRequest",
        "CoachingPlan",
        "CoachingSession",
        "User",
        "Group",
        "Goal",
        "Accolade",
        "Integration",
        "LiveCall",
        "Dialer",
    }
    lines = []
    for name, made in sorted(graphql.type_map.items()):
        if isinstance(made, GraphQLObjectType) and not name.startswith("__") and name not in reached:
            lines += [f"{name}.{field} | as what holds it" for field in made.fields]
    return lines


@pytest.mark.timeout(240)
async def test_every_field_and_argument_answers_as_the_matrix_says(api: Api) -> None:
    lines = _held_lines()
    for grouped in (True, False):
        for role in ROLES:
            # A world of its own for each role: the mutations among the arguments leave nothing for the next.
            world = await World(grouped=grouped).build()
            await world.become(role)
            token = await api.token(world.viewer)
            lines += await _node_lines(api, token, world, role)
            lines += await _argument_lines(api, token, world, role)
    found = f"# {' '.join(RELATIONS)}\n" + "\n".join(sorted(lines)) + "\n"
    if os.environ.get(WRITE):
        FILE.write_text(found)
    known, now = FILE.read_text().splitlines(), found.splitlines()
    gone, new = set(known) - set(now), set(now) - set(known)
    differences = [f"- {line}" for line in known if line in gone]
    differences += [f"+ {line}" for line in now if line in new]
    assert not differences, "\n".join(differences[:40])


def _id_arguments() -> set[str]:
    """Every argument of the schema that takes an id, with its way through the inputs."""
    graphql = schema._schema
    found: set[str] = set()

    def walk(named: Any, path: str, seen: tuple[str, ...]) -> None:
        if isinstance(named, GraphQLInputObjectType):
            for name, field in named.fields.items():
                if named.name not in seen:
                    walk(get_named_type(field.type), f"{path}.{name}", (*seen, named.name))
        elif named.name == "ID":
            found.add(path + ")")

    for type_name, made in graphql.type_map.items():
        if isinstance(made, GraphQLObjectType) and not type_name.startswith("__"):
            for field_name, field in made.fields.items():
                for name, argument in field.args.items():
                    walk(get_named_type(argument.type), f"{type_name}.{field_name}({name}", ())
    return found


def test_every_argument_with_an_id_has_its_rule() -> None:
    stated = {*USER_ARGUMENTS, *GROUP_ARGUMENTS, *ELSEWHERE}
    assert _id_arguments() - stated == set(), "state the rule of these arguments"
