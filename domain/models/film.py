"""What is said of a rep's film: comments with their mentions, and reviews by managers."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar
from uuid import UUID

from tortoise import fields
from tortoise.migrations.constraints import UniqueConstraint

from domain.models.base import Row, created_now
from domain.models.teams import Team


class ReviewWay(StrEnum):
    """What showed that a manager has reviewed a conversation."""

    MARKED = "MARKED"
    COMMENT = "COMMENT"
    SCORECARD = "SCORECARD"


class Film(Row):
    """That something was said of an activity, whose id it has; what the activity's numbers take from it."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    user_id = fields.UUIDField(description="Whose activity it is; follows a correction")
    comment_count = fields.IntField(db_default=0, description="Without the deleted ones")
    scorecard_count = fields.IntField(db_default=0, description="Submitted ones of all kinds")
    reviewed = fields.BooleanField(db_default=False, description="By a manager")
    score_total = fields.DecimalField(
        max_digits=12, decimal_places=4, db_default=0, description="Of submitted scorecards by others, in closed rounds"
    )
    score_count = fields.IntField(db_default=0, description="How many those are")
    away_since = fields.DatetimeField(null=True, description="When the activity was deleted at its source")

    class Meta:
        table = "films"
        constraints: ClassVar = [UniqueConstraint(("team_id", "id", "user_id"), "films_activity_key")]


class Comment(Row):
    """What somebody said of an activity, perhaps of one moment of it. A deleted one is kept without its text."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    activity_id = fields.UUIDField()
    user_id = fields.UUIDField(description="Whose activity it is")
    author_id = fields.UUIDField()
    parent_id = fields.UUIDField(null=True, description="The comment that it answers; never itself an answer")
    body = fields.TextField(null=True, description="Null when deleted")
    at_seconds = fields.IntField(null=True, description="Into the conversation, call or meeting")
    version = fields.IntField(db_default=1)
    created_at = fields.DatetimeField(db_default=created_now())
    edited_at = fields.DatetimeField(null=True)
    deleted_at = fields.DatetimeField(null=True)
    deleted_by_id = fields.UUIDField(null=True)

    class Meta:
        table = "comments"
        constraints: ClassVar = [UniqueConstraint(("team_id", "id"), "comments_team_id_id_key")]


class CommentVersion(Row):
    """What a comment said before it was edited."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    comment_id = fields.UUIDField()
    version = fields.IntField()
    body = fields.TextField()
    at_seconds = fields.IntField(null=True)
    written_at = fields.DatetimeField()

    class Meta:
        table = "comment_versions"
        constraints: ClassVar = [UniqueConstraint(("team_id", "comment_id", "version"), "comment_versions_version_key")]


class Mention(Row):
    """That a comment calls somebody."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    comment_id = fields.UUIDField()
    user_id = fields.UUIDField(description="Who is called")
    created_at = fields.DatetimeField(db_default=created_now())
    read_at = fields.DatetimeField(null=True)

    class Meta:
        table = "mentions"
        constraints: ClassVar = [UniqueConstraint(("team_id", "comment_id", "user_id"), "mentions_user_key")]


class Review(Row):
    """That a manager has reviewed a conversation; once for each."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    activity_id = fields.UUIDField()
    user_id = fields.UUIDField(description="Whose conversation it is")
    reviewer_id = fields.UUIDField()
    way = fields.CharEnumField(ReviewWay, max_length=10)
    created_at = fields.DatetimeField(db_default=created_now())

    class Meta:
        table = "reviews"
        constraints: ClassVar = [UniqueConstraint(("team_id", "activity_id", "reviewer_id"), "reviews_reviewer_key")]
