"""Users, the tree of groups, and roles."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar
from uuid import UUID

from tortoise import fields
from tortoise.contrib.postgres.fields import ArrayField
from tortoise.fields.db_defaults import SqlDefault
from tortoise.migrations.constraints import CheckConstraint, UniqueConstraint

from domain.models.base import Row, created_now
from domain.models.teams import Team


class Permission(StrEnum):
    """What a role may allow."""

    TEAM_VIEW = "TEAM_VIEW"
    MANAGE_GOALS = "MANAGE_GOALS"
    VIEW_EMAIL_CONTENT = "VIEW_EMAIL_CONTENT"
    LIVE_CALL_STUDIO = "LIVE_CALL_STUDIO"
    MANAGE_TEAM = "MANAGE_TEAM"


class Role(Row):
    """A named set of permissions. `Admin` and `User` are built in."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    name = fields.CharField(max_length=100)
    permissions = ArrayField(element_type="text", db_default=SqlDefault("'{}'"))
    built_in = fields.BooleanField(db_default=False)
    is_admin = fields.BooleanField(db_default=False, description="The built-in Admin: all permissions, scope everybody")

    class Meta:
        table = "roles"
        constraints: ClassVar = [
            UniqueConstraint(("team_id", "name"), "roles_team_id_name_key"),
            UniqueConstraint(("team_id", "id"), "roles_team_id_id_key"),
            CheckConstraint(
                "permissions <@ ARRAY['TEAM_VIEW','MANAGE_GOALS','VIEW_EMAIL_CONTENT','LIVE_CALL_STUDIO',"
                "'MANAGE_TEAM']::text[]",
                "roles_permissions_check",
            ),
            CheckConstraint("built_in OR NOT is_admin", "roles_is_admin_check"),
        ]


class Group(Row):
    """A node of the team's tree of groups."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    name = fields.CharField(max_length=200)
    parent_id: UUID | None
    parent: fields.ForeignKeyNullableRelation[Group] = fields.ForeignKeyField(
        "sideline.Group", related_name=False, null=True, db_constraint=False
    )
    scim_external_id = fields.CharField(max_length=255, null=True)
    created_at = fields.DatetimeField(db_default=created_now())
    changed_at = fields.DatetimeField(db_default=created_now(), description="Itself or who is in it")

    class Meta:
        table = "groups"
        indexes = (("team_id", "parent_id"),)
        constraints: ClassVar = [
            UniqueConstraint(("team_id", "id"), "groups_team_id_id_key"),
            CheckConstraint("parent_id <> id", "groups_parent_id_check"),
            CheckConstraint("length(name) > 0", "groups_name_check"),
        ]


class User(Row):
    """A person on a team."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    name = fields.CharField(max_length=200)
    email = fields.CharField(max_length=320)
    active = fields.BooleanField(db_default=True)
    is_rep = fields.BooleanField(db_default=True, description="Listed among the reps even without an activity")
    deals_access = fields.BooleanField(db_default=False, description="A seat, separate from the role")
    role_id: UUID
    role: fields.ForeignKeyRelation[Role] = fields.ForeignKeyField(
        "sideline.Role", related_name=False, db_constraint=False
    )
    group_id: UUID | None
    group: fields.ForeignKeyNullableRelation[Group] = fields.ForeignKeyField(
        "sideline.Group", related_name=False, null=True, db_constraint=False
    )
    manager_id: UUID | None
    manager: fields.ForeignKeyNullableRelation[User] = fields.ForeignKeyField(
        "sideline.User", related_name=False, null=True, db_constraint=False
    )
    external_ids = ArrayField(
        element_type="text",
        db_default=SqlDefault("'{}'"),
        description="Ids in connected systems; importers find the user by them",
    )
    scim_external_id = fields.CharField(
        max_length=255, null=True, description="What the identity provider calls the person; its own business"
    )
    scim_user_name = fields.CharField(
        max_length=255, null=True, description="The provider's user name, where that is not the email address"
    )
    scim_removed_at = fields.DatetimeField(null=True, description="When the identity provider removed the person")
    formatted_name = fields.CharField(
        max_length=400, null=True, description="The whole name as the identity provider writes it"
    )
    given_name = fields.CharField(max_length=200, null=True, description="As the identity provider says")
    family_name = fields.CharField(max_length=200, null=True, description="As the identity provider says")
    erased_at = fields.DatetimeField(null=True, description="When the person's data was erased on request")
    started_on = fields.DateField(null=True, description="First day with the team; null where nobody has said")
    ended_on = fields.DateField(null=True, description="Last day with the team")
    created_at = fields.DatetimeField(db_default=created_now())
    changed_at = fields.DatetimeField(db_default=created_now())

    class Meta:
        table = "users"
        indexes = (
            ("team_id", "group_id"),
            ("team_id", "manager_id"),
            ("team_id", "name", "id"),
            ("team_id", "email", "id"),
        )
        constraints: ClassVar = [
            UniqueConstraint(("team_id", "id"), "users_team_id_id_key"),
            CheckConstraint("manager_id <> id", "users_manager_id_check"),
            CheckConstraint("length(name) > 0", "users_name_check"),
            CheckConstraint("position('@' in email) > 1", "users_email_check"),
            CheckConstraint("ended_on >= started_on", "users_employment_check"),
        ]


class DayOff(Row):
    """Days on which a person does not work: leave, sickness, training."""

    team_id: UUID
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("sideline.Team", related_name=False)
    user_id: UUID
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField(
        "sideline.User", related_name=False, db_constraint=False
    )
    first_day = fields.DateField()
    last_day = fields.DateField(description="Inclusive")
    reason = fields.CharField(max_length=200, null=True)
    created_at = fields.DatetimeField(db_default=created_now())

    class Meta:
        table = "days_off"
        indexes = (("team_id", "user_id", "first_day"),)
        constraints: ClassVar = [CheckConstraint("last_day >= first_day", "days_off_days_check")]
