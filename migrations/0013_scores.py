"""How roles are scored, with the history of it; accolades and their rules."""

from tortoise import fields, migrations
from tortoise.contrib.postgres.fields import ArrayField
from tortoise.fields.base import OnDelete
from tortoise.fields.db_defaults import SqlDefault
from tortoise.migrations import operations as ops
from tortoise.migrations.constraints import UniqueConstraint

from domain.models.base import new_id
from domain.models.goals import GoalPeriod
from domain.models.scores import AccoladeKind, ScoreKind

TABLES = "accolade_evaluations accolade_rules accolades score_definitions score_versions".split()

TEAM = "(SELECT nullif(current_setting('sideline.team', true), '')::uuid)"

KEYS = [
    "ALTER TABLE accolade_evaluations ADD CONSTRAINT accolade_evaluations_team_id_key UNIQUE (team_id)",
    "ALTER TABLE score_definitions ADD CONSTRAINT score_definitions_team_id_id_key UNIQUE (team_id, id),"
    " ADD CONSTRAINT score_definitions_role_key UNIQUE (team_id, role_id, kind)",
    "ALTER TABLE score_versions ADD CONSTRAINT score_versions_version_key UNIQUE (team_id, definition_id, version)",
    "ALTER TABLE accolade_rules ADD CONSTRAINT accolade_rules_team_id_id_key UNIQUE (team_id, id)",
    # What makes a milestone of a rule be granted once, whoever looks and however often.
    "ALTER TABLE accolades ADD CONSTRAINT accolades_milestone_key UNIQUE (team_id, user_id, rule_id, milestone)",
]

REFERENCES = [
    f"ALTER TABLE {table} ADD CONSTRAINT {table}_{column.removesuffix('_id')}_fkey"
    f" FOREIGN KEY (team_id, {column}) REFERENCES {target} (team_id, id){rule}"
    for table, column, target, rule in (
        # A role that nobody has can be removed; how it was scored is then nobody's score.
        ("score_definitions", "role_id", "roles", " ON DELETE CASCADE"),
        ("score_versions", "definition_id", "score_definitions", " ON DELETE CASCADE"),
        ("score_versions", "set_by_id", "users", ""),
        ("accolade_rules", "created_by_id", "users", ""),
        ("accolades", "user_id", "users", ""),
        ("accolades", "rule_id", "accolade_rules", ""),
        ("accolades", "granted_by_id", "users", ""),
        ("accolades", "revoked_by_id", "users", ""),
    )
]

RULES = [
    "ALTER TABLE score_versions"
    " ADD CONSTRAINT score_versions_metrics_check"
    " CHECK (cardinality(metrics) BETWEEN 1 AND 20 AND cardinality(metrics) = cardinality(weights)),"
    " ADD CONSTRAINT score_versions_weights_check CHECK (0 < ALL (weights)),"
    " ADD CONSTRAINT score_versions_cap_check CHECK (cap BETWEEN 1 AND 10),"
    " ADD CONSTRAINT score_versions_version_check CHECK (version > 0),"
    " ADD CONSTRAINT score_versions_effective_check CHECK (effective_to >= effective_from - 1)",
    "ALTER TABLE accolade_rules"
    " ADD CONSTRAINT accolade_rules_kind_check CHECK (CASE kind"
    " WHEN 'TOTAL' THEN metric IS NOT NULL AND cardinality(levels) > 0"
    " WHEN 'FIRST' THEN metric IS NOT NULL AND period IS NULL AND cardinality(levels) = 0"
    " WHEN 'PERSONAL_BEST' THEN metric IS NOT NULL AND period IS NOT NULL AND cardinality(levels) = 0"
    " WHEN 'GOAL_STREAK' THEN metric IS NOT NULL AND period IS NOT NULL AND cardinality(levels) > 0"
    " WHEN 'SCORE_STREAK' THEN metric IS NULL AND period IS NOT NULL AND cardinality(levels) > 0 END),"
    " ADD CONSTRAINT accolade_rules_score_check"
    " CHECK ((kind = 'SCORE_STREAK') = (score_kind IS NOT NULL AND minimum_score IS NOT NULL)),"
    " ADD CONSTRAINT accolade_rules_levels_check CHECK (cardinality(levels) <= 10 AND 0 < ALL (levels)),"
    " ADD CONSTRAINT accolade_rules_version_check CHECK (version > 0)",
    "ALTER TABLE accolades"
    " ADD CONSTRAINT accolades_rule_check CHECK ((rule_id IS NULL) = (milestone IS NULL)),"
    " ADD CONSTRAINT accolades_giver_check CHECK (rule_id IS NULL OR granted_by_id IS NULL),"
    " ADD CONSTRAINT accolades_days_check CHECK (first_day <= achieved_on),"
    " ADD CONSTRAINT accolades_revoked_check CHECK (revoked_at IS NOT NULL OR revoked_by_id IS NULL)",
]

INDEXES = [
    "CREATE UNIQUE INDEX accolade_rules_name_key ON accolade_rules (team_id, lower(name)) WHERE removed_at IS NULL",
    # A person's and a team's accolades, the newest first.
    "CREATE INDEX accolades_user_idx ON accolades (team_id, user_id, granted_at, id)",
    "CREATE INDEX accolades_team_idx ON accolades (team_id, granted_at, id)",
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


class Migration(migrations.Migration):
    """Quick: all but a column of webhook_endpoints is new."""

    dependencies = [("sideline", "0012_plans")]

    initial = False

    operations = [
        ops.CreateModel(
            name="AccoladeEvaluation",
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
                (
                    "generation",
                    fields.BigIntField(description="Of goal_evaluations; what has been looked at", db_default=-1),
                ),
                (
                    "due_at",
                    fields.DatetimeField(
                        description="The team's next midnight",
                        db_default=SqlDefault("now()"),
                        auto_now=False,
                        auto_now_add=False,
                    ),
                ),
            ],
            options={
                "table": "accolade_evaluations",
                "app": "sideline",
                "constraints": [UniqueConstraint(fields=("team_id",), name="accolade_evaluations_team_id_key")],
                "pk_attr": "id",
                "table_description": "How far a team's numbers have been looked at for accolades, and"
                " when they are due without a change.",
            },
            bases=["Row"],
        ),
        ops.CreateModel(
            name="AccoladeRule",
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
                ("name", fields.CharField(max_length=100)),
                ("description", fields.CharField(null=True, max_length=500)),
                (
                    "kind",
                    fields.CharEnumField(
                        description="TOTAL: TOTAL\nFIRST: FIRST\nPERSONAL_BEST: PERSONAL_BEST\n"
                        "GOAL_STREAK: GOAL_STREAK\nSCORE_STREAK: SCORE_STREAK",
                        enum_type=AccoladeKind,
                        max_length=16,
                    ),
                ),
                ("metric", fields.CharField(null=True, max_length=40)),
                (
                    "score_kind",
                    fields.CharEnumField(
                        null=True,
                        description="ACTIVITY: ACTIVITY\nOBJECTIVE: OBJECTIVE",
                        enum_type=ScoreKind,
                        max_length=10,
                    ),
                ),
                ("minimum_score", fields.DecimalField(null=True, max_digits=7, decimal_places=2)),
                (
                    "period",
                    fields.CharEnumField(
                        null=True, description="Null for what counts for ever", enum_type=GoalPeriod, max_length=8
                    ),
                ),
                (
                    "levels",
                    ArrayField(
                        description="Totals, or how many periods in a row",
                        db_default=SqlDefault("'{}'"),
                        element_type="NUMERIC",
                    ),
                ),
                ("counts_from", fields.DateField(description="What was reached before is not granted")),
                ("version", fields.IntField(description="Grows by one with every change", db_default=1)),
                (
                    "evaluated_on",
                    fields.DateField(null=True, description="Streaks and bests were last looked at on this local day"),
                ),
                (
                    "created_by",
                    fields.ForeignKeyField(
                        "sideline.User",
                        source_field="created_by_id",
                        null=True,
                        db_constraint=False,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                (
                    "created_at",
                    fields.DatetimeField(db_default=SqlDefault("now()"), auto_now=False, auto_now_add=False),
                ),
                ("removed_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "accolade_rules",
                "app": "sideline",
                "pk_attr": "id",
                "table_description": "What earns an accolade on a team. Its id is what keeps a milestone"
                " from being granted twice.",
            },
            bases=["Row"],
        ),
        ops.CreateModel(
            name="Accolade",
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
                (
                    "user",
                    fields.ForeignKeyField(
                        "sideline.User",
                        source_field="user_id",
                        db_constraint=False,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                (
                    "rule",
                    fields.ForeignKeyField(
                        "sideline.AccoladeRule",
                        source_field="rule_id",
                        null=True,
                        db_constraint=False,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                (
                    "milestone",
                    fields.CharField(null=True, description="Which of the rule's; null for one by hand", max_length=60),
                ),
                ("title", fields.CharField(max_length=100)),
                ("message", fields.CharField(null=True, max_length=1000)),
                ("level", fields.DecimalField(null=True, max_digits=24, decimal_places=4)),
                (
                    "value",
                    fields.DecimalField(null=True, description="What was reached", max_digits=28, decimal_places=6),
                ),
                ("first_day", fields.DateField(null=True, description="Of the period or the streak")),
                ("achieved_on", fields.DateField()),
                (
                    "granted_by",
                    fields.ForeignKeyField(
                        "sideline.User",
                        source_field="granted_by_id",
                        null=True,
                        db_constraint=False,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                (
                    "granted_at",
                    fields.DatetimeField(db_default=SqlDefault("now()"), auto_now=False, auto_now_add=False),
                ),
                ("revoked_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                (
                    "revoked_by",
                    fields.ForeignKeyField(
                        "sideline.User",
                        source_field="revoked_by_id",
                        null=True,
                        db_constraint=False,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("revoked_reason", fields.CharField(null=True, max_length=500)),
            ],
            options={
                "table": "accolades",
                "app": "sideline",
                "pk_attr": "id",
                "table_description": "Something that a person has earned. A revoked one is kept, so"
                " that it is not granted again.",
            },
            bases=["Row"],
        ),
        ops.CreateModel(
            name="ScoreDefinition",
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
                (
                    "role",
                    fields.ForeignKeyField(
                        "sideline.Role",
                        source_field="role_id",
                        db_constraint=False,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                (
                    "kind",
                    fields.CharEnumField(
                        description="ACTIVITY: ACTIVITY\nOBJECTIVE: OBJECTIVE", enum_type=ScoreKind, max_length=10
                    ),
                ),
                (
                    "created_at",
                    fields.DatetimeField(db_default=SqlDefault("now()"), auto_now=False, auto_now_add=False),
                ),
            ],
            options={
                "table": "score_definitions",
                "app": "sideline",
                "pk_attr": "id",
                "table_description": "That a role has a score of a kind; how it is made is in its versions.",
            },
            bases=["Row"],
        ),
        ops.CreateModel(
            name="ScoreVersion",
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
                (
                    "definition",
                    fields.ForeignKeyField(
                        "sideline.ScoreDefinition",
                        source_field="definition_id",
                        db_constraint=False,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("version", fields.IntField()),
                ("metrics", ArrayField(element_type="TEXT")),
                (
                    "weights",
                    ArrayField(description="In percent, one for each metric; 100 together", element_type="NUMERIC"),
                ),
                (
                    "cap",
                    fields.DecimalField(
                        description="An attainment counts up to this; 2 is 200 %", max_digits=5, decimal_places=2
                    ),
                ),
                ("effective_from", fields.DateField()),
                ("effective_to", fields.DateField(null=True, description="Inclusive; null while it goes on")),
                (
                    "set_by",
                    fields.ForeignKeyField(
                        "sideline.User",
                        source_field="set_by_id",
                        null=True,
                        db_constraint=False,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("set_at", fields.DatetimeField(db_default=SqlDefault("now()"), auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "score_versions",
                "app": "sideline",
                "pk_attr": "id",
                "table_description": "Metrics with weights, from one day to another. Versions of a"
                " definition never overlap.",
            },
            bases=["Row"],
        ),
        ops.AddField(
            model_name="WebhookEndpoint",
            name="accolades",
            field=fields.BooleanField(description="Whether it is told of accolades too", db_default=False),
        ),
        ops.RunSQL([*KEYS, *REFERENCES, *RULES, *INDEXES, *WALLS]),
    ]
