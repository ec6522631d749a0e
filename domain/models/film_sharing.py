"""Film that is shown to others: playlists of examples, and requests for feedback."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar
from uuid import UUID

from tortoise import fields
from tortoise.migrations.constraints import UniqueConstraint

from domain.models.base import Row, created_now
from domain.models.teams import Team


class PlaylistAudience(StrEnum):
    """Who finds a playlist, besides its owner."""

    PRIVATE = "PRIVATE"
    GROUP = "GROUP"
    TEAM = "TEAM"


class FeedbackState(StrEnum):
    """Where a request for feedback stands."""

    OPEN = "OPEN"
    ANSWERED = "ANSWERED"
    DECLINED = "DECLINED"
    WITHDRAWN = "WITHDRAWN"


class Playlist(Row):
    """Examples under a name, in an order. It shows nobody an activity that they may not see anyway."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    owner_id = fields.UUIDField()
    name = fields.CharField(max_length=200)
    description = fields.CharField(max_length=2000, null=True)
    audience = fields.CharEnumField(PlaylistAudience, max_length=8, db_default="PRIVATE")
    group_id = fields.UUIDField(null=True, description="The group that it is shared with, and all groups below it")
    created_at = fields.DatetimeField(db_default=created_now())
    changed_at = fields.DatetimeField(db_default=created_now())

    class Meta:
        table = "playlists"
        constraints: ClassVar = [UniqueConstraint(("team_id", "id"), "playlists_team_id_id_key")]


class PlaylistItem(Row):
    """An example of a playlist."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    playlist_id = fields.UUIDField()
    activity_id = fields.UUIDField()
    user_id = fields.UUIDField(description="Whose activity it is")
    position = fields.IntField(description="Orders the items; has gaps, and is shown to nobody")
    starts_seconds = fields.IntField(null=True)
    ends_seconds = fields.IntField(null=True)
    note = fields.CharField(max_length=2000, null=True)
    created_at = fields.DatetimeField(db_default=created_now())

    class Meta:
        table = "playlist_items"
        constraints: ClassVar = [UniqueConstraint(("team_id", "id"), "playlist_items_team_id_id_key")]


class FeedbackRequest(Row):
    """That a rep asks somebody about an activity of the rep's own, which that person may see while it is open."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    activity_id = fields.UUIDField()
    user_id = fields.UUIDField(description="Whose activity it is, and who asks")
    asked_id = fields.UUIDField()
    message = fields.CharField(max_length=2000, null=True)
    due_on = fields.DateField(null=True)
    state = fields.CharEnumField(FeedbackState, max_length=10, db_default="OPEN")
    reason = fields.CharField(max_length=2000, null=True, description="Why it was declined")
    comment_id = fields.UUIDField(null=True, description="The answer, if it is a comment")
    scorecard_id = fields.UUIDField(null=True, description="The answer, if it is a scorecard")
    created_at = fields.DatetimeField(db_default=created_now())
    closed_at = fields.DatetimeField(null=True)

    class Meta:
        table = "feedback_requests"
        constraints: ClassVar = [UniqueConstraint(("team_id", "id"), "feedback_requests_team_id_id_key")]
