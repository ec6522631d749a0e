"""What enum values and common arguments mean, in the words of who reads them in GraphiQL.

A field says what it is where it is declared. What recurs all over the schema (the arguments of every connection) or is
declared in the domain, which knows no GraphQL (the values of its enums), is said here, once. A test holds the schema to
it: nothing in it is without a word.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from graphql import GraphQLEnumType, GraphQLInterfaceType, GraphQLObjectType, GraphQLSchema

from domain.metrics import METRICS

_ARGUMENTS: Final[Mapping[str, str]] = {
    "first": "At most so many, from the beginning or after `after`.",
    "after": "Go on behind the entry with this cursor.",
    "last": "At most so many, from the end or before `before`.",
    "before": "End before the entry with this cursor.",
    "filter": "Which of them; all without it.",
    "orderBy": "In which order.",
    "sortBy": "Rank by this metric.",
    "descending": "The largest first; true where nothing else is said.",
    "search": "Whose name or email address holds these words.",
    "range": "Over which days: a named range, or a first and a last day.",
    "compare": "What to hold the numbers against.",
    "metrics": "These metrics, in this order; all without it.",
    "interval": "The steps.",
    "groupId": "Of this group and all groups below it.",
    "userId": "Of this user; the viewer where nothing else is said.",
    "roleId": "Of who has this role.",
    "goalId": "The goal.",
    "jobId": "The job.",
    "id": "The global id.",
    "ids": "The global ids, at most 100.",
    "from": "From this day on.",
    "to": "Up to and with this day.",
    "kind": "Of this kind.",
    "unread": "True: those not read yet; false: those read.",
    "purpose": "What for.",
    "archived": "Whether those that are not offered any more are among them.",
    "templateId": "By this template.",
    "open": "True: those that go on; false: those that are closed.",
    "activityId": "The activity.",
    "input": "What is to be done.",
    "includeEnded": "Whether those that do not hold any more are among them.",
    "includeRemoved": "Whether those that were removed are among them.",
    "notCoachedDays": "After how many days without coaching a rep counts as not coached lately.",
}

_VALUES: Final[Mapping[str, Mapping[str, str]]] = {
    "AccoladeEventType": {
        "ACCOLADE_GRANTED": "Somebody was given an accolade.",
        "ACCOLADE_REVOKED": "An accolade was taken back.",
    },
    "AccoladeKind": {
        "TOTAL": "A metric's total has reached a number.",
        "FIRST": "The first of something.",
        "PERSONAL_BEST": "More in one period than ever before.",
        "GOAL_STREAK": "A goal attained several periods in a row.",
        "SCORE_STREAK": "A score kept above a number several periods in a row.",
    },
    "ActionState": {
        "SCHEDULED": "Its time has not come, or nobody has taken it up yet.",
        "RUNNING": "A worker has it in hand.",
        "SUCCEEDED": "Done.",
        "FAILED": "Given up; the error says why.",
        "CANCELLED": "Somebody ended it before it was done.",
        "MISSED": "Its time passed without it, and it was not to be made up for.",
    },
    "ActivityKind": {
        "EMAIL": "An email sent.",
        "CALL": "A call logged.",
        "MEETING": "A meeting with a guest.",
        "CONVERSATION": "A recorded call or meeting with its analysis.",
        "CADENCE_STEP": "A step of a cadence.",
        "OPPORTUNITY": "An opportunity or deal.",
        "TASK": "A task done.",
    },
    "AuditAction": {
        "USER_INVITED": "Somebody was taken onto the team.",
        "USER_UPDATED": "A person's name, address, role, group, manager, seats or days were changed.",
        "USER_DEACTIVATED": "Somebody's access was ended.",
        "USER_REACTIVATED": "Somebody was let in again.",
        "USER_ERASED": "A person's data was erased.",
        "GROUP_CREATED": "A group was made.",
        "GROUP_UPDATED": "A group was renamed or moved.",
        "GROUP_REMOVED": "A group was removed.",
        "ROLE_CREATED": "A role was made.",
        "ROLE_UPDATED": "A role's name or permissions were changed.",
        "ROLE_REMOVED": "A role was removed.",
        "TOKEN_CREATED": "A token was made.",
        "TOKEN_REVOKED": "A token was ended.",
        "SETTINGS_UPDATED": "The team's settings were changed.",
        "INTEGRATION_CONNECTED": "A system was connected.",
        "INTEGRATION_UPDATED": "A connection was changed, paused or resumed.",
        "INTEGRATION_DISCONNECTED": "A connection was ended.",
        "FIELD_MAPPING_SET": "A field mapping was put in force.",
        "EXCHANGE_RATES_SET": "Exchange rates of the team's own were set.",
        "DOCUMENT_TRUSTED": "A GraphQL document was trusted.",
        "DOCUMENT_NOT_TRUSTED": "A GraphQL document is trusted no more.",
        "EMAIL_BODY_READ": "Somebody read the body of somebody else's email.",
        "EMAIL_BODIES_EXPORTED": "Bodies of other people's emails were exported.",
        "COACHING_SESSION_READ": "An Admin read a coaching session that they take no part in.",
        "PERSON_EXPORTED": "All data of a person was exported.",
        "CONNECTION_EXPORTED": "A list was exported.",
        "COMMENT_DELETED": "Somebody else's comment was deleted.",
        "SCORECARD_REMOVED": "A scorecard was removed.",
        "SCORECARD_TEMPLATE_CREATED": "A scorecard's template was made.",
        "SCORECARD_TEMPLATE_UPDATED": "A scorecard's template got a new version.",
        "FEEDBACK_REQUESTED": "Somebody showed an activity of theirs to a colleague for feedback.",
        "DIALER_CREATED": "A dialer was connected.",
        "DIALER_ROTATED": "A dialer's secret was made anew.",
        "DIALER_REMOVED": "A dialer was removed.",
        "LIVE_CALL_JOINED": "Somebody asked to join a live call.",
        "LIVE_CALL_CONNECTED": "Somebody who asked to join a live call is on the line.",
        "LIVE_CALL_MODE_CHANGED": "Somebody changed how they take part in a live call.",
        "LIVE_CALL_LEFT": "Somebody left a live call.",
        "SCORE_DEFINITION_SET": "What a role's score is made of was set.",
        "SCORE_DEFINITION_REMOVED": "A role's score was ended.",
        "ACCOLADE_RULE_SET": "A rule for accolades was set.",
        "ACCOLADE_RULE_REMOVED": "A rule for accolades was ended.",
        "ACCOLADE_GRANTED": "Somebody gave an accolade by hand.",
        "ACCOLADE_REVOKED": "An accolade was taken back.",
    },
    "CalibrationState": {
        "OPEN": "Scorers fill their scorecards, each without seeing the others'.",
        "CLOSED": "All may see what each scored.",
    },
    "CallDirection": {"INBOUND": "The other side called.", "OUTBOUND": "The rep called."},
    "CatchUp": {
        "RUN_ONCE": "However often it fell due while nothing ran, it is done once.",
        "RUN_ALL": "It is done once for each time that it fell due.",
        "SKIP": "What fell due while nothing ran is missed.",
    },
    "CoachingNoteVisibility": {
        "SHARED": "For everybody who takes part.",
        "PRIVATE": "For its author and who coaches with them.",
    },
    "CoachingPlanStatus": {
        "DRAFT": "Being written; the rep does not see it.",
        "ACTIVE": "In force.",
        "COMPLETED": "Done.",
        "ABANDONED": "Given up.",
    },
    "CoachingSessionState": {
        "PLANNED": "It is to be held.",
        "RESCHEDULED": "It is to be held, at another time than it was first to be.",
        "HELD": "It was held.",
        "CANCELLED": "It was called off.",
        "MISSED": "Its time passed, and nobody said that it was held.",
    },
    "CoachingVerdict": {
        "BETTER": "Better than the peers over the same time, beyond chance.",
        "WORSE": "Worse than the peers over the same time, beyond chance.",
        "UNCLEAR": "No difference from the peers that chance would not make too.",
    },
    "Comparison": {
        "NONE": "Nothing.",
        "PREVIOUS_PERIOD": "As many days just before; for a named range, the one before it.",
        "SAME_PERIOD_LAST_YEAR": "The same days a year earlier.",
    },
    "ConnectorAudience": {"PERSON": "Each person connects their own.", "TEAM": "One for the team."},
    "ConsentRule": {
        "ONE_PARTY": "The rep's knowledge is enough.",
        "ALL_PARTY": "Everybody on the call must know: the joiner confirms that they were told.",
        "FORBIDDEN": "Nobody may join.",
    },
    "CrmPart": {
        "OPPORTUNITIES": "Opportunities, with their own stages and amounts.",
        "DEALS": "Deals: what was won and lost.",
    },
    "ExportFieldKind": {
        "ID": "A global id.",
        "STRING": "Text.",
        "ENUM": "One of the values of an enum.",
        "INT": "A whole number.",
        "FLOAT": "A number.",
        "DECIMAL": "An exact number, as text.",
        "BOOLEAN": "true or false.",
        "DATE": "A day, ISO 8601.",
        "DATETIME": "An instant, ISO 8601 with its offset.",
        "JSON": "JSON within the file.",
    },
    "ExportFormat": {"CSV": "A table by RFC 4180.", "NDJSON": "A JSON object a line."},
    "FeedbackState": {
        "OPEN": "It waits for an answer.",
        "ANSWERED": "There is a comment or a scorecard for it.",
        "DECLINED": "Who was asked will not answer.",
        "WITHDRAWN": "Who asked has taken it back.",
    },
    "FiscalCalendar": {"MONTHS": "Calendar months.", "FOUR_FOUR_FIVE": "Quarters of 4, 4 and 5 weeks."},
    "GapMeasure": {
        "RATE": "A rate, such as replies of emails.",
        "PER_WORKING_DAY": "A count by the working days that the rep worked.",
        "PER_STEP_BEFORE": "A count by what came before it in the funnel.",
    },
    "GoalEventType": {
        "GOAL_CREATED": "A goal was set where there was none.",
        "GOAL_UPDATED": "A goal was set anew.",
        "GOAL_REMOVED": "A goal was ended.",
        "GOAL_ATTAINED": "What was done has reached a goal.",
        "GOAL_STATUS_CHANGED": "A goal stands otherwise: on track, at risk or behind.",
    },
    "GoalPeriod": {
        "DAY": "Each day.",
        "WEEK": "Each week, from the team's first day of it.",
        "MONTH": "Each month of the team's fiscal calendar.",
        "QUARTER": "Each quarter of the team's fiscal year.",
        "YEAR": "Each fiscal year.",
    },
    "GoalPlanOutcome": {
        "PLANNED": "The steps say how much of each a working day takes.",
        "ATTAINED": "The goal is reached already.",
        "OUT_OF_REACH": "At these rates no amount of work that a day holds reaches it.",
        "NO_TIME_LEFT": "No working day is left in the period.",
        "RATE": "The goal is a rate: no amount of work reaches it by itself.",
        "UNAVAILABLE": "The numbers that it takes are not connected.",
        "NOT_IN_FORCE": "The goal does not hold now.",
    },
    "GoalStatus": {
        "ATTAINED": "The target is reached.",
        "ON_TRACK": "As much as is expected by now, or more.",
        "AT_RISK": "Less than is expected by now, by a little.",
        "BEHIND": "Much less than is expected by now.",
    },
    "InvitationWay": {"CALENDAR": "By the coach's own calendar connection.", "MAIL": "By mail."},
    "JoinMode": {
        "LISTEN": "Hear the call; nobody hears you.",
        "WHISPER": "Hear the call; the rep alone hears you.",
        "BARGE": "Everybody hears you.",
    },
    "LiveCallParticipantState": {
        "REQUESTED": "On the way into the call.",
        "CONNECTED": "On the line.",
        "LEAVING": "On the way out of the call.",
        "LEFT": "Not on the line any more.",
        "FAILED": "Could not join; the error says why.",
    },
    "LiveCallState": {"RINGING": "Nobody has answered yet.", "IN_PROGRESS": "They talk.", "ENDED": "It is over."},
    "MeetingStatus": {
        "BOOKED": "It is to be held.",
        "HELD": "It was held.",
        "CANCELLED": "It was called off.",
        "NO_SHOW": "The guest did not come.",
    },
    "MessageChannel": {"MAIL": "By mail.", "WEBHOOK": "To an address of the team's, signed."},
    "MessageState": {
        "WAITING": "To be sent, or sent again.",
        "SENT": "Taken by the other side.",
        "FAILED": "Given up; the error says why.",
        "CANCELLED": "Not to be sent any more.",
    },
    "MetricDirection": {
        "HIGHER": "More is better.",
        "LOWER": "Less is better.",
        "BAND": "Neither too much nor too little is good.",
    },
    "MetricUnit": {
        "COUNT": "How many.",
        "SECONDS": "Seconds.",
        "MONEY": "Money, in the team's currency.",
        "RATIO": "A share or a quotient; 0.25 is 25%.",
        "DAYS": "Days.",
    },
    "NamedRange": {
        "TODAY": "Today, in the team's time zone.",
        "YESTERDAY": "The day before today.",
        "THIS_WEEK": "The running week.",
        "LAST_WEEK": "The week before the running one.",
        "THIS_MONTH": "The running fiscal month.",
        "LAST_MONTH": "The fiscal month before the running one.",
        "THIS_QUARTER": "The running fiscal quarter.",
        "LAST_QUARTER": "The fiscal quarter before the running one.",
        "THIS_YEAR": "The running fiscal year.",
        "LAST_30_DAYS": "The 30 days up to and with today.",
        "LAST_90_DAYS": "The 90 days up to and with today.",
    },
    "Permission": {
        "TEAM_VIEW": "See the data of the people in one's group, the groups below it, and one's reporting line.",
        "MANAGE_GOALS": "See and set the goals of people and groups in scope.",
        "VIEW_EMAIL_CONTENT": "Read the bodies of emails of people in scope.",
        "LIVE_CALL_STUDIO": "See and join live calls of people in scope.",
        "MANAGE_TEAM": "Manage users, groups, roles, integrations and the team's settings.",
    },
    "PlaylistAudience": {
        "PRIVATE": "For its owner.",
        "GROUP": "For a group and all groups below it.",
        "TEAM": "For everybody on the team.",
    },
    "ReviewWay": {
        "MARKED": "They said so.",
        "COMMENT": "They commented on it.",
        "SCORECARD": "They filled a scorecard.",
    },
    "ScheduledActionKind": {
        "GOAL_REMINDER": "Tells how goals stand.",
        "DIGEST": "Tells what happened, who falls behind and what is to come.",
        "REPORT_SNAPSHOT": "Keeps a dashboard as it is then, as a table and a picture.",
        "GOAL_ROLLOVER": "Sets goals anew from then on.",
        "SYNC": "Syncs a connection.",
    },
    "ScoreGap": {
        "NO_DEFINITION": "The role has no such score.",
        "NO_WORKING_TIME": "There was no working time over the range.",
        "NO_GOAL": "There is no goal to hold the number against.",
        "UNAVAILABLE": "What feeds the metric is not connected.",
        "NOTHING_TO_DIVIDE_BY": "The rate has nothing to divide by.",
        "NOTHING_TO_SCORE": "Nothing of what the score is made of can be counted.",
    },
    "ScoreKind": {"ACTIVITY": "What reps do.", "OBJECTIVE": "What comes of it."},
    "ScorecardQuestionKind": {
        "SCALE": "A whole number from 1 up.",
        "YES_NO": "Yes or no.",
        "TEXT": "Words, which count for nothing in the score.",
    },
    "ScorecardState": {
        "DRAFT": "Being filled; its scorer alone sees it.",
        "SUBMITTED": "Filled for good.",
    },
    "ScorerRelation": {
        "SELF": "The rep themselves.",
        "PEER": "A colleague.",
        "MANAGER": "Somebody above the rep, or an Admin.",
    },
    "SetupState": {
        "DONE": "Done.",
        "MISSING": "To be done.",
        "BROKEN": "Done, and does not work; the detail says why.",
    },
    "Tab": {
        "TEAM": "Totals, groups, the leaderboard and who falls behind.",
        "INDIVIDUAL": "One rep's numbers beside those of the peers.",
        "MANAGER_VIEW": "Who coaches whom, how much, and whether it shows.",
        "INDIVIDUAL_VIEW": "One rep's film: emails, calls, meetings, conversations, with comments and scorecards.",
        "SCHEDULED_ACTIONS": "What is due, by reps and by workers.",
        "LIVE_CALL_STUDIO": "Calls in progress, to listen to, whisper in or barge into.",
    },
    "TelephonyKind": {
        "NONE": "Calls are shown and cannot be joined.",
        "TWILIO": "Twilio carries the calls.",
        "LOOPBACK": "Nobody is on the line: to try the studio.",
    },
    "TokenScope": {
        "READ": "Queries and subscriptions.",
        "WRITE": "Mutations.",
        "IMPORT": "Taking activities in.",
        "SCIM": "Looking after people and groups for an identity provider.",
    },
    "TrendInterval": {"DAY": "Days.", "WEEK": "Weeks.", "MONTH": "Fiscal months."},
    "UserOrder": {"NAME": "By name.", "EMAIL": "By email address."},
    "WebhookState": {
        "ACTIVE": "It gets events.",
        "PAUSED": "Somebody has paused it; events wait.",
        "PARKED": "It failed for too long; events wait.",
    },
    "Weekday": {
        day: day.capitalize() + "." for day in "MONDAY TUESDAY WEDNESDAY THURSDAY FRIDAY SATURDAY SUNDAY".split()
    },
    "Metric": {metric.key: metric.definition for metric in METRICS.values()},
}


def describe(schema: GraphQLSchema) -> None:
    """Give every enum value and argument that says nothing of itself its words."""
    for kind in schema.type_map.values():
        if isinstance(kind, GraphQLEnumType):
            for name, value in kind.values.items():
                value.description = value.description or _VALUES.get(kind.name, {}).get(name)
        elif isinstance(kind, GraphQLObjectType | GraphQLInterfaceType):
            for field in kind.fields.values():
                for name, argument in field.args.items():
                    argument.description = argument.description or _ARGUMENTS.get(name)
