"""The film: comments, reviews, scorecards, playlists, requests for feedback; and what the numbers take from it."""

from collections.abc import Sequence
from typing import Any

from orjson import loads
from tortoise import fields, migrations
from tortoise.fields.base import OnDelete
from tortoise.fields.data import JSON_DUMPS
from tortoise.fields.db_defaults import SqlDefault
from tortoise.migrations import operations as ops
from tortoise.migrations.constraints import UniqueConstraint

from domain.models.base import new_id
from domain.models.film import ReviewWay
from domain.models.film_scorecards import CalibrationState, Relation, ScorecardState
from domain.models.film_sharing import FeedbackState, PlaylistAudience

TABLES = (
    "calibration_scorers calibrations comment_versions comments feedback_requests films mentions playlist_items "
    "playlists reviews scorecard_templates scorecard_versions scorecards"
).split()

TEAM = "(SELECT nullif(current_setting('sideline.team', true), '')::uuid)"

ACTIVITIES = [
    # Without a default that is written to a row: quick, however large the table.
    "ALTER TABLE activities ADD COLUMN recording_url text, ADD COLUMN recorded_source varchar(100),"
    " ADD COLUMN recorded_external_id varchar(255), ADD COLUMN reviewed boolean,"
    " ADD COLUMN score_total numeric(12,4), ADD COLUMN score_count integer",
    # The recording of a call or a meeting.
    "CREATE INDEX activities_recorded_idx ON activities (team_id, recorded_external_id)"
    " WHERE recorded_external_id IS NOT NULL",
    *(
        f"ALTER TABLE {table} ADD COLUMN conversations_reviewed bigint NOT NULL DEFAULT 0,"
        " ADD COLUMN scorecard_points bigint NOT NULL DEFAULT 0,"
        " ADD COLUMN scorecards_counted bigint NOT NULL DEFAULT 0"
        for table in ("rollup_days", "rollup_months")
    ),
]

_OF_ACTIVITY = """
        activity_id uuid NOT NULL,
        user_id uuid NOT NULL,"""


def _table(name: str, columns: str) -> str:
    return (
        f"CREATE TABLE {name} (\n        id uuid NOT NULL PRIMARY KEY,"
        f"\n        team_id uuid NOT NULL REFERENCES teams (id),{columns}\n    )"
    )


CREATE = [
    _table(
        "films",
        """
        user_id uuid NOT NULL,
        comment_count integer NOT NULL DEFAULT 0 CHECK (comment_count >= 0),
        scorecard_count integer NOT NULL DEFAULT 0 CHECK (scorecard_count >= 0),
        reviewed boolean NOT NULL DEFAULT false,
        score_total numeric(12,4) NOT NULL DEFAULT 0,
        score_count integer NOT NULL DEFAULT 0 CHECK (score_count >= 0),
        away_since timestamptz,
        CONSTRAINT films_activity_key UNIQUE (team_id, id, user_id),
        CONSTRAINT films_score_total_range_check CHECK (score_total BETWEEN 0 AND 100 * score_count)""",
    ),
    _table(
        "comments",
        f"""{_OF_ACTIVITY}
        author_id uuid NOT NULL,
        parent_id uuid,
        body text CHECK (length(body) BETWEEN 1 AND 10000),
        at_seconds integer CHECK (at_seconds >= 0),
        version integer NOT NULL DEFAULT 1 CHECK (version > 0),
        created_at timestamptz NOT NULL DEFAULT now(),
        edited_at timestamptz,
        deleted_at timestamptz,
        deleted_by_id uuid,
        CONSTRAINT comments_team_id_id_key UNIQUE (team_id, id),
        CONSTRAINT comments_deleted_check CHECK ((deleted_at IS NULL) = (body IS NOT NULL))""",
    ),
    _table(
        "comment_versions",
        """
        comment_id uuid NOT NULL,
        version integer NOT NULL,
        body text NOT NULL,
        at_seconds integer,
        written_at timestamptz NOT NULL,
        CONSTRAINT comment_versions_version_key UNIQUE (team_id, comment_id, version)""",
    ),
    _table(
        "mentions",
        """
        comment_id uuid NOT NULL,
        user_id uuid NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        read_at timestamptz,
        CONSTRAINT mentions_user_key UNIQUE (team_id, comment_id, user_id)""",
    ),
    _table(
        "reviews",
        f"""{_OF_ACTIVITY}
        reviewer_id uuid NOT NULL,
        way varchar(10) NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT reviews_reviewer_key UNIQUE (team_id, activity_id, reviewer_id)""",
    ),
    _table(
        "scorecard_templates",
        """
        name varchar(100) NOT NULL CHECK (length(name) > 0),
        description varchar(1000),
        current_version integer NOT NULL DEFAULT 1 CHECK (current_version > 0),
        created_by_id uuid,
        created_at timestamptz NOT NULL DEFAULT now(),
        archived_at timestamptz,
        CONSTRAINT scorecard_templates_team_id_id_key UNIQUE (team_id, id)""",
    ),
    _table(
        "scorecard_versions",
        """
        template_id uuid NOT NULL,
        version integer NOT NULL CHECK (version > 0),
        questions jsonb NOT NULL CHECK (jsonb_array_length(questions) BETWEEN 1 AND 50),
        published_by_id uuid,
        published_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT scorecard_versions_version_key UNIQUE (team_id, template_id, version)""",
    ),
    _table(
        "calibrations",
        f"""{_OF_ACTIVITY}
        template_id uuid NOT NULL,
        version integer NOT NULL,
        organizer_id uuid NOT NULL,
        state varchar(8) NOT NULL DEFAULT 'OPEN',
        due_on date,
        created_at timestamptz NOT NULL DEFAULT now(),
        closed_at timestamptz,
        CONSTRAINT calibrations_team_id_id_key UNIQUE (team_id, id),
        CONSTRAINT calibrations_closed_check CHECK ((state = 'CLOSED') = (closed_at IS NOT NULL))""",
    ),
    _table(
        "calibration_scorers",
        """
        calibration_id uuid NOT NULL,
        scorer_id uuid NOT NULL,
        CONSTRAINT calibration_scorers_scorer_key UNIQUE (team_id, calibration_id, scorer_id)""",
    ),
    _table(
        "scorecards",
        f"""{_OF_ACTIVITY}
        scorer_id uuid NOT NULL,
        template_id uuid NOT NULL,
        version integer NOT NULL,
        calibration_id uuid,
        relation varchar(8) NOT NULL,
        state varchar(10) NOT NULL DEFAULT 'DRAFT',
        answers jsonb NOT NULL,
        note text CHECK (length(note) <= 10000),
        score numeric(7,4) CHECK (score BETWEEN 0 AND 100),
        revision integer NOT NULL DEFAULT 1,
        created_at timestamptz NOT NULL DEFAULT now(),
        changed_at timestamptz NOT NULL DEFAULT now(),
        submitted_at timestamptz,
        CONSTRAINT scorecards_team_id_id_key UNIQUE (team_id, id),
        CONSTRAINT scorecards_scorer_key UNIQUE (team_id, activity_id, scorer_id, template_id),
        CONSTRAINT scorecards_submitted_check CHECK ((state = 'SUBMITTED') = (submitted_at IS NOT NULL)),
        CONSTRAINT scorecards_scored_check CHECK (score IS NULL OR state = 'SUBMITTED')""",
    ),
    _table(
        "playlists",
        """
        owner_id uuid NOT NULL,
        name varchar(200) NOT NULL CHECK (length(name) > 0),
        description varchar(2000),
        audience varchar(8) NOT NULL DEFAULT 'PRIVATE',
        group_id uuid,
        created_at timestamptz NOT NULL DEFAULT now(),
        changed_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT playlists_team_id_id_key UNIQUE (team_id, id),
        -- A group that is removed leaves the playlist to its owner.
        CONSTRAINT playlists_group_check CHECK (audience = 'GROUP' OR group_id IS NULL)""",
    ),
    _table(
        "playlist_items",
        f"""
        playlist_id uuid NOT NULL,{_OF_ACTIVITY}
        position integer NOT NULL,
        starts_seconds integer CHECK (starts_seconds >= 0),
        ends_seconds integer CHECK (ends_seconds > 0),
        note varchar(2000),
        created_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT playlist_items_team_id_id_key UNIQUE (team_id, id),
        CONSTRAINT playlist_items_seconds_check CHECK (ends_seconds > coalesce(starts_seconds, 0))""",
    ),
    _table(
        "feedback_requests",
        f"""{_OF_ACTIVITY}
        asked_id uuid NOT NULL,
        message varchar(2000),
        due_on date,
        state varchar(10) NOT NULL DEFAULT 'OPEN',
        reason varchar(2000),
        comment_id uuid,
        scorecard_id uuid,
        created_at timestamptz NOT NULL DEFAULT now(),
        closed_at timestamptz,
        CONSTRAINT feedback_requests_team_id_id_key UNIQUE (team_id, id),
        CONSTRAINT feedback_requests_closed_check CHECK ((state = 'OPEN') = (closed_at IS NULL)),
        CONSTRAINT feedback_requests_answer_check
            CHECK (num_nonnulls(comment_id, scorecard_id) <= CASE state WHEN 'ANSWERED' THEN 1 ELSE 0 END)""",
    ),
]

# A film goes with its activity, and follows it to another owner.
FILM = " ON UPDATE CASCADE ON DELETE CASCADE"
REFERENCES = [
    *(
        f"ALTER TABLE {table} ADD CONSTRAINT {table}_film_fkey"
        f" FOREIGN KEY (team_id, activity_id, user_id) REFERENCES films (team_id, id, user_id){FILM}"
        for table in ("comments", "reviews", "scorecards", "calibrations", "playlist_items", "feedback_requests")
    ),
    *(
        f"ALTER TABLE {table} ADD CONSTRAINT {table}_{column.removesuffix('_id')}_fkey"
        f" FOREIGN KEY (team_id, {column}) REFERENCES {target} (team_id, id){rule}"
        for table, column, target, rule in (
            ("films", "user_id", "users", ""),
            ("comments", "author_id", "users", ""),
            ("comments", "deleted_by_id", "users", ""),
            ("comments", "parent_id", "comments", " ON DELETE CASCADE"),
            ("comment_versions", "comment_id", "comments", " ON DELETE CASCADE"),
            ("mentions", "comment_id", "comments", " ON DELETE CASCADE"),
            ("mentions", "user_id", "users", ""),
            ("reviews", "reviewer_id", "users", ""),
            ("scorecard_templates", "created_by_id", "users", ""),
            ("scorecard_versions", "template_id", "scorecard_templates", ""),
            ("scorecard_versions", "published_by_id", "users", ""),
            ("scorecards", "scorer_id", "users", ""),
            ("scorecards", "calibration_id", "calibrations", " ON DELETE SET NULL (calibration_id)"),
            ("calibrations", "organizer_id", "users", ""),
            ("calibration_scorers", "calibration_id", "calibrations", " ON DELETE CASCADE"),
            ("calibration_scorers", "scorer_id", "users", ""),
            ("playlists", "owner_id", "users", ""),
            ("playlists", "group_id", "groups", " ON DELETE SET NULL (group_id)"),
            ("playlist_items", "playlist_id", "playlists", " ON DELETE CASCADE"),
            ("feedback_requests", "asked_id", "users", ""),
            ("feedback_requests", "comment_id", "comments", " ON DELETE SET NULL (comment_id)"),
            ("feedback_requests", "scorecard_id", "scorecards", " ON DELETE SET NULL (scorecard_id)"),
        )
    ),
    *(
        f"ALTER TABLE {table} ADD CONSTRAINT {table}_version_fkey FOREIGN KEY (team_id, template_id, version)"
        " REFERENCES scorecard_versions (team_id, template_id, version)"
        for table in ("scorecards", "calibrations")
    ),
]

INDEXES = [
    "CREATE INDEX films_user_idx ON films (team_id, user_id, id)",
    "CREATE INDEX films_away_idx ON films (away_since) WHERE away_since IS NOT NULL",
    # What is said of an activity, in its order; by somebody; of somebody.
    "CREATE INDEX comments_activity_idx ON comments (team_id, activity_id, id)",
    "CREATE INDEX comments_author_idx ON comments (team_id, author_id, created_at)",
    "CREATE INDEX comments_user_idx ON comments (team_id, user_id, created_at)",
    "CREATE INDEX comments_parent_idx ON comments (team_id, parent_id) WHERE parent_id IS NOT NULL",
    "CREATE INDEX mentions_user_idx ON mentions (team_id, user_id, id)",
    "CREATE INDEX mentions_unread_idx ON mentions (team_id, user_id, id) WHERE read_at IS NULL",
    "CREATE INDEX reviews_reviewer_idx ON reviews (team_id, reviewer_id, created_at)",
    "CREATE INDEX reviews_user_idx ON reviews (team_id, user_id, created_at)",
    "CREATE UNIQUE INDEX scorecard_templates_name_key ON scorecard_templates (team_id, lower(name))"
    " WHERE archived_at IS NULL",
    "CREATE INDEX scorecards_scorer_idx ON scorecards (team_id, scorer_id, submitted_at)",
    "CREATE INDEX scorecards_user_idx ON scorecards (team_id, user_id, submitted_at)",
    "CREATE INDEX scorecards_template_idx ON scorecards (team_id, template_id, submitted_at)",
    "CREATE INDEX scorecards_calibration_idx ON scorecards (team_id, calibration_id) WHERE calibration_id IS NOT NULL",
    "CREATE UNIQUE INDEX calibrations_open_key ON calibrations (team_id, activity_id, template_id)"
    " WHERE state = 'OPEN'",
    "CREATE INDEX calibrations_activity_idx ON calibrations (team_id, activity_id)",
    "CREATE INDEX calibrations_template_idx ON calibrations (team_id, template_id, closed_at)",
    "CREATE INDEX calibrations_organizer_idx ON calibrations (team_id, organizer_id, id)",
    "CREATE INDEX calibration_scorers_scorer_idx ON calibration_scorers (team_id, scorer_id, calibration_id)",
    "CREATE INDEX playlists_name_idx ON playlists (team_id, name, id)",
    "CREATE INDEX playlists_owner_idx ON playlists (team_id, owner_id)",
    "CREATE INDEX playlists_group_idx ON playlists (team_id, group_id) WHERE group_id IS NOT NULL",
    "CREATE INDEX playlist_items_position_idx ON playlist_items (team_id, playlist_id, position, id)",
    "CREATE INDEX playlist_items_activity_idx ON playlist_items (team_id, activity_id)",
    "CREATE UNIQUE INDEX feedback_requests_open_key ON feedback_requests (team_id, asked_id, activity_id)"
    " WHERE state = 'OPEN'",
    "CREATE INDEX feedback_requests_asked_idx ON feedback_requests (team_id, asked_id, id)",
    "CREATE INDEX feedback_requests_user_idx ON feedback_requests (team_id, user_id, id)",
    "CREATE INDEX feedback_requests_activity_idx ON feedback_requests (team_id, activity_id)",
    "CREATE INDEX feedback_requests_comment_idx ON feedback_requests (team_id, comment_id)"
    " WHERE comment_id IS NOT NULL",
    "CREATE INDEX feedback_requests_scorecard_idx ON feedback_requests (team_id, scorecard_id)"
    " WHERE scorecard_id IS NOT NULL",
]

WALLS = [
    f"GRANT SELECT, INSERT, UPDATE, DELETE ON {', '.join(TABLES)} TO sideline_app",
    *(
        statement
        for table in TABLES
        for statement in (
            f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
            f"CREATE POLICY {table}_team ON {table} TO sideline_app"
            f" USING (team_id = {TEAM}) WITH CHECK (team_id = {TEAM})",
        )
    ),
]


class Describe(ops.TortoiseOperation):
    """Tells Tortoise of all that the SQL below makes, at once: each operation costs it a copy of all its models."""

    def __init__(self, operations: Sequence[ops.TortoiseOperation]) -> None:
        self.operations = operations

    def state_forward(self, app_label: str, state: Any) -> None:
        """Every operation's own."""
        for operation in self.operations:
            operation.state_forward(app_label, state)


def _model(
    name: str, table: str, description: str, constraints: Sequence[UniqueConstraint], /, **columns: Any
) -> ops.CreateModel:
    return ops.CreateModel(
        name=name,
        fields=[
            ("id", fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
            (
                "team",
                fields.ForeignKeyField(
                    "sideline.Team",
                    source_field="team_id",
                    db_constraint=True,
                    to_field="id",
                    related_name=False,
                    on_delete=OnDelete.CASCADE,
                ),
            ),
            *columns.items(),
        ],
        options={
            "table": table,
            "app": "sideline",
            "constraints": list(constraints),
            "pk_attr": "id",
            "table_description": description,
        },
        bases=["Row"],
    )


def _id(**options: Any) -> Any:
    return fields.UUIDField(**options)


def _now(**options: Any) -> Any:
    return fields.DatetimeField(db_default=SqlDefault("now()"), auto_now=False, auto_now_add=False, **options)


def _when(*, null: bool = True, **options: Any) -> Any:
    return fields.DatetimeField(null=null, auto_now=False, auto_now_add=False, **options)


def _json(**options: Any) -> Any:
    return fields.JSONField(encoder=JSON_DUMPS, decoder=loads, **options)


def _unique(name: str, *columns: str) -> UniqueConstraint:
    return UniqueConstraint(fields=("team_id", *columns), name=name)


MODELS = [
    _model(
        "Film",
        "films",
        "That something was said of an activity, whose id it has; what the activity's numbers take from it.",
        [_unique("films_activity_key", "id", "user_id")],
        user_id=_id(description="Whose activity it is; follows a correction"),
        comment_count=fields.IntField(db_default=0, description="Without the deleted ones"),
        scorecard_count=fields.IntField(db_default=0, description="Submitted ones of all kinds"),
        reviewed=fields.BooleanField(db_default=False, description="By a manager"),
        score_total=fields.DecimalField(
            db_default=0,
            description="Of submitted scorecards by others, in closed rounds",
            max_digits=12,
            decimal_places=4,
        ),
        score_count=fields.IntField(db_default=0, description="How many those are"),
        away_since=_when(description="When the activity was deleted at its source"),
    ),
    _model(
        "Comment",
        "comments",
        "What somebody said of an activity, perhaps of one moment of it. A deleted one is kept without its text.",
        [_unique("comments_team_id_id_key", "id")],
        activity_id=_id(),
        user_id=_id(description="Whose activity it is"),
        author_id=_id(),
        parent_id=_id(null=True, description="The comment that it answers; never itself an answer"),
        body=fields.TextField(null=True, description="Null when deleted", unique=False),
        at_seconds=fields.IntField(null=True, description="Into the conversation, call or meeting"),
        version=fields.IntField(db_default=1),
        created_at=_now(),
        edited_at=_when(),
        deleted_at=_when(),
        deleted_by_id=_id(null=True),
    ),
    _model(
        "CommentVersion",
        "comment_versions",
        "What a comment said before it was edited.",
        [_unique("comment_versions_version_key", "comment_id", "version")],
        comment_id=_id(),
        version=fields.IntField(),
        body=fields.TextField(unique=False),
        at_seconds=fields.IntField(null=True),
        written_at=_when(null=False),
    ),
    _model(
        "Mention",
        "mentions",
        "That a comment calls somebody.",
        [_unique("mentions_user_key", "comment_id", "user_id")],
        comment_id=_id(),
        user_id=_id(description="Who is called"),
        created_at=_now(),
        read_at=_when(),
    ),
    _model(
        "Review",
        "reviews",
        "That a manager has reviewed a conversation; once for each.",
        [_unique("reviews_reviewer_key", "activity_id", "reviewer_id")],
        activity_id=_id(),
        user_id=_id(description="Whose conversation it is"),
        reviewer_id=_id(),
        way=fields.CharEnumField(enum_type=ReviewWay, max_length=10),
        created_at=_now(),
    ),
    _model(
        "ScorecardTemplate",
        "scorecard_templates",
        "A scorecard of the team's; what it asks is in its versions.",
        [_unique("scorecard_templates_team_id_id_key", "id")],
        name=fields.CharField(max_length=100),
        description=fields.CharField(null=True, max_length=1000),
        current_version=fields.IntField(db_default=1),
        created_by_id=_id(null=True),
        created_at=_now(),
        archived_at=_when(description="From then on it is not filled any more"),
    ),
    _model(
        "ScorecardVersion",
        "scorecard_versions",
        "What a template asks, for good: a filled scorecard keeps the version that it was filled on.",
        [_unique("scorecard_versions_version_key", "template_id", "version")],
        template_id=_id(),
        version=fields.IntField(),
        questions=_json(description="In their order"),
        published_by_id=_id(null=True),
        published_at=_now(),
    ),
    _model(
        "Scorecard",
        "scorecards",
        "What somebody answered of an activity; one for each activity, template and scorer.",
        [
            _unique("scorecards_team_id_id_key", "id"),
            _unique("scorecards_scorer_key", "activity_id", "scorer_id", "template_id"),
        ],
        activity_id=_id(),
        user_id=_id(description="Whose activity it is"),
        scorer_id=_id(),
        template_id=_id(),
        version=fields.IntField(description="Of the template"),
        calibration_id=_id(null=True),
        relation=fields.CharEnumField(
            description="Of the scorer to the rep when it was filled", enum_type=Relation, max_length=8
        ),
        state=fields.CharEnumField(db_default="DRAFT", enum_type=ScorecardState, max_length=10),
        answers=_json(description="By the questions' keys"),
        note=fields.TextField(null=True, unique=False),
        score=fields.DecimalField(null=True, description="0 to 100", max_digits=7, decimal_places=4),
        revision=fields.IntField(db_default=1),
        created_at=_now(),
        changed_at=_now(),
        submitted_at=_when(),
    ),
    _model(
        "Calibration",
        "calibrations",
        "A round in which several score one activity by one template, apart from each other.",
        [_unique("calibrations_team_id_id_key", "id")],
        activity_id=_id(),
        user_id=_id(description="Whose activity it is"),
        template_id=_id(),
        version=fields.IntField(description="Of the template"),
        organizer_id=_id(),
        state=fields.CharEnumField(db_default="OPEN", enum_type=CalibrationState, max_length=8),
        due_on=fields.DateField(null=True),
        created_at=_now(),
        closed_at=_when(),
    ),
    _model(
        "CalibrationScorer",
        "calibration_scorers",
        "Somebody who scores in a round.",
        [_unique("calibration_scorers_scorer_key", "calibration_id", "scorer_id")],
        calibration_id=_id(),
        scorer_id=_id(),
    ),
    _model(
        "Playlist",
        "playlists",
        "Examples under a name, in an order. It shows nobody an activity that they may not see anyway.",
        [_unique("playlists_team_id_id_key", "id")],
        owner_id=_id(),
        name=fields.CharField(max_length=200),
        description=fields.CharField(null=True, max_length=2000),
        audience=fields.CharEnumField(db_default="PRIVATE", enum_type=PlaylistAudience, max_length=8),
        group_id=_id(null=True, description="The group that it is shared with, and all groups below it"),
        created_at=_now(),
        changed_at=_now(),
    ),
    _model(
        "PlaylistItem",
        "playlist_items",
        "An example of a playlist.",
        [_unique("playlist_items_team_id_id_key", "id")],
        playlist_id=_id(),
        activity_id=_id(),
        user_id=_id(description="Whose activity it is"),
        position=fields.IntField(description="Orders the items; has gaps, and is shown to nobody"),
        starts_seconds=fields.IntField(null=True),
        ends_seconds=fields.IntField(null=True),
        note=fields.CharField(null=True, max_length=2000),
        created_at=_now(),
    ),
    _model(
        "FeedbackRequest",
        "feedback_requests",
        "That a rep asks somebody about an activity of the rep's own, which that person may see while it is open.",
        [_unique("feedback_requests_team_id_id_key", "id")],
        activity_id=_id(),
        user_id=_id(description="Whose activity it is, and who asks"),
        asked_id=_id(),
        message=fields.CharField(null=True, max_length=2000),
        due_on=fields.DateField(null=True),
        state=fields.CharEnumField(db_default="OPEN", enum_type=FeedbackState, max_length=10),
        reason=fields.CharField(null=True, description="Why it was declined", max_length=2000),
        comment_id=_id(null=True, description="The answer, if it is a comment"),
        scorecard_id=_id(null=True, description="The answer, if it is a scorecard"),
        created_at=_now(),
        closed_at=_when(),
    ),
]

FIELDS = [
    ops.AddField(model_name=model, name=name, field=field)
    for model, name, field in (
        (
            "Activity",
            "recording_url",
            fields.TextField(
                null=True, description="Where a conversation can be heard, as its source says", unique=False
            ),
        ),
        (
            "Activity",
            "recorded_source",
            fields.CharField(null=True, description="Of the call or meeting that it records", max_length=100),
        ),
        ("Activity", "recorded_external_id", fields.CharField(null=True, max_length=255)),
        (
            "Activity",
            "reviewed",
            fields.BooleanField(null=True, description="This and the scores are the film's; see domain/film.py"),
        ),
        ("Activity", "score_total", fields.DecimalField(null=True, max_digits=12, decimal_places=4)),
        ("Activity", "score_count", fields.IntField(null=True)),
        ("RollupDay", "conversations_reviewed", fields.BigIntField(db_default=0)),
        ("RollupDay", "scorecard_points", fields.BigIntField(db_default=0, description="Ten-thousandths of points")),
        ("RollupDay", "scorecards_counted", fields.BigIntField(db_default=0)),
        ("RollupMonth", "conversations_reviewed", fields.BigIntField(db_default=0)),
        ("RollupMonth", "scorecard_points", fields.BigIntField(db_default=0, description="Ten-thousandths of points")),
        ("RollupMonth", "scorecards_counted", fields.BigIntField(db_default=0)),
    )
]


class Migration(migrations.Migration):
    """Quick: new columns hold nothing yet, the index on activities finds none to hold; all else is new."""

    dependencies = [("sideline", "0010_integration_storage")]

    initial = False

    operations = [
        Describe([*MODELS, *FIELDS]),
        ops.RunSQL([*ACTIVITIES, *CREATE, *REFERENCES, *INDEXES, *WALLS]),
    ]
