"""The tables of goals, events and webhooks that the ORM can say."""

from tortoise import migrations
from tortoise.migrations import operations as ops
from domain.models.base import new_id
from domain.models.teams import FiscalCalendar
from domain.models.webhooks import WebhookState
from orjson import loads
from tortoise.contrib.postgres.fields import ArrayField
from tortoise.fields.base import OnDelete
from tortoise.fields.data import JSON_DUMPS
from tortoise.fields.db_defaults import SqlDefault
from tortoise import fields
from tortoise.indexes import Index
from tortoise.migrations.constraints import CheckConstraint, UniqueConstraint


class Migration(migrations.Migration):
    dependencies = [('sideline', '0002_storage')]

    initial = False

    operations = [
        ops.CreateModel(
            name='DayOff',
            fields=[
                ('id', fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ('team', fields.ForeignKeyField('sideline.Team', source_field='team_id', db_constraint=True, to_field='id', related_name=False, on_delete=OnDelete.CASCADE)),
                ('user', fields.ForeignKeyField('sideline.User', source_field='user_id', db_constraint=False, to_field='id', related_name=False, on_delete=OnDelete.CASCADE)),
                ('first_day', fields.DateField()),
                ('last_day', fields.DateField(description='Inclusive')),
                ('reason', fields.CharField(null=True, max_length=200)),
                ('created_at', fields.DatetimeField(db_default=SqlDefault('now()'), auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'days_off', 'app': 'sideline', 'indexes': [Index(fields=['team_id', 'user_id', 'first_day'])], 'pk_attr': 'id', 'table_description': 'Days on which a person does not work: leave, sickness, training.'},
        ),
        ops.CreateModel(
            name='EventHead',
            fields=[
                ('id', fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ('team', fields.ForeignKeyField('sideline.Team', source_field='team_id', db_constraint=True, to_field='id', related_name=False, on_delete=OnDelete.CASCADE)),
                ('position', fields.BigIntField(db_default=0)),
                ('pruned_through', fields.BigIntField(description='Events up to here are not kept any more', db_default=0)),
            ],
            options={'table': 'event_heads', 'app': 'sideline', 'pk_attr': 'id', 'table_description': "The last position of a team's events. Its row lock is what makes positions follow the order of commits."},
        ),
        ops.CreateModel(
            name='EventRelay',
            fields=[
                ('id', fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ('team', fields.ForeignKeyField('sideline.Team', source_field='team_id', db_constraint=True, to_field='id', related_name=False, on_delete=OnDelete.CASCADE)),
                ('position', fields.BigIntField(db_default=0)),
            ],
            options={'table': 'event_relays', 'app': 'sideline', 'pk_attr': 'id', 'table_description': "How far a team's events have been handed to Redis."},
        ),
        ops.CreateModel(
            name='GoalEvaluation',
            fields=[
                ('id', fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ('team', fields.ForeignKeyField('sideline.Team', source_field='team_id', db_constraint=True, to_field='id', related_name=False, on_delete=OnDelete.CASCADE)),
                ('generation', fields.BigIntField(description='Grows with every evaluation', db_default=0)),
                ('due_at', fields.DatetimeField(db_default=SqlDefault('now()'), auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'goal_evaluations', 'app': 'sideline', 'indexes': [Index(fields=['due_at'])], 'pk_attr': 'id', 'table_description': "When a team's goals were last evaluated, and when they are due again without a change: its next midnight."},
        ),
        ops.CreateModel(
            name='GoalState',
            fields=[
                ('id', fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ('team', fields.ForeignKeyField('sideline.Team', source_field='team_id', db_constraint=True, to_field='id', related_name=False, on_delete=OnDelete.CASCADE)),
                ('goal', fields.ForeignKeyField('sideline.Goal', source_field='goal_id', db_constraint=False, to_field='id', related_name=False, on_delete=OnDelete.CASCADE)),
                ('period_start', fields.DateField()),
                ('status', fields.CharField(max_length=10)),
                ('changed_at', fields.DatetimeField(db_default=SqlDefault('now()'), auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'goal_states', 'app': 'sideline', 'pk_attr': 'id', 'table_description': 'The last status that was told of a goal in a period; none while it is what every period begins with.'},
        ),
        ops.CreateModel(
            name='Holiday',
            fields=[
                ('id', fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ('team', fields.ForeignKeyField('sideline.Team', source_field='team_id', db_constraint=True, to_field='id', related_name=False, on_delete=OnDelete.CASCADE)),
                ('day', fields.DateField()),
                ('name', fields.CharField(max_length=200)),
                ('working', fields.BooleanField(description='A holiday of the country that the team works on', db_default=False)),
            ],
            options={'table': 'holidays', 'app': 'sideline', 'pk_attr': 'id', 'table_description': 'A day that a team keeps free, or works, whatever the holidays of its country say.'},
        ),
        ops.CreateModel(
            name='IdempotencyKey',
            fields=[
                ('id', fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ('team', fields.ForeignKeyField('sideline.Team', source_field='team_id', db_constraint=True, to_field='id', related_name=False, on_delete=OnDelete.CASCADE)),
                ('user', fields.ForeignKeyField('sideline.User', source_field='user_id', db_constraint=False, to_field='id', related_name=False, on_delete=OnDelete.CASCADE)),
                ('key', fields.CharField(max_length=255)),
                ('digest', fields.CharField(description='SHA-256 of the operation and its input, hex', max_length=64)),
                ('answer', fields.JSONField(null=True, encoder=JSON_DUMPS, decoder=loads)),
                ('created_at', fields.DatetimeField(db_default=SqlDefault('now()'), auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'idempotency_keys', 'app': 'sideline', 'indexes': [Index(fields=['created_at'])], 'pk_attr': 'id', 'table_description': 'What a mutation answered, under the key that its sender gave; kept for a week.'},
        ),
        ops.CreateModel(
            name='MetricChange',
            fields=[
                ('id', fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ('team', fields.ForeignKeyField('sideline.Team', source_field='team_id', db_constraint=True, to_field='id', related_name=False, on_delete=OnDelete.CASCADE)),
            ],
            options={'table': 'metric_changes', 'app': 'sideline', 'indexes': [Index(fields=['team_id'])], 'pk_attr': 'id', 'table_description': "A mark that a team's numbers may have changed; removed in the transaction that has evaluated the goals."},
        ),
        ops.CreateModel(
            name='WebhookEndpoint',
            fields=[
                ('id', fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ('team', fields.ForeignKeyField('sideline.Team', source_field='team_id', db_constraint=True, to_field='id', related_name=False, on_delete=OnDelete.CASCADE)),
                ('owner', fields.ForeignKeyField('sideline.User', source_field='owner_id', db_constraint=False, to_field='id', related_name=False, on_delete=OnDelete.CASCADE)),
                ('url', fields.CharField(max_length=2000)),
                ('description', fields.CharField(null=True, max_length=200)),
                ('secret', fields.BinaryField(description='Encrypted')),
                ('types', ArrayField(description='Empty: all', db_default=SqlDefault("'{}'"), element_type='TEXT')),
                ('goal_filter', fields.JSONField(db_default=SqlDefault("'{}'"), encoder=JSON_DUMPS, decoder=loads)),
                ('state', fields.CharEnumField(description='ACTIVE: ACTIVE\nPAUSED: PAUSED\nPARKED: PARKED', db_default='ACTIVE', enum_type=WebhookState, max_length=8)),
                ('position', fields.BigIntField()),
                ('failures', fields.IntField(description='Attempts that failed since the last one that did not', db_default=0)),
                ('failing_since', fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ('due_at', fields.DatetimeField(description='Not before', db_default=SqlDefault('now()'), auto_now=False, auto_now_add=False)),
                ('last_error', fields.TextField(null=True, unique=False)),
                ('lease_holder', fields.CharField(null=True, max_length=100)),
                ('leased_until', fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ('fence', fields.BigIntField(description='Grows with every claim and with every change by hand', db_default=0)),
                ('created_at', fields.DatetimeField(db_default=SqlDefault('now()'), auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'webhook_endpoints', 'app': 'sideline', 'pk_attr': 'id', 'table_description': "An address that a team's events go to, in order; `position` is the last event that is done with."},
        ),
        ops.CreateModel(
            name='WebhookDelivery',
            fields=[
                ('id', fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ('team', fields.ForeignKeyField('sideline.Team', source_field='team_id', db_constraint=True, to_field='id', related_name=False, on_delete=OnDelete.CASCADE)),
                ('endpoint', fields.ForeignKeyField('sideline.WebhookEndpoint', source_field='endpoint_id', db_constraint=False, to_field='id', related_name=False, on_delete=OnDelete.CASCADE)),
                ('position', fields.BigIntField(null=True, description='Null for a test')),
                ('message_id', fields.CharField(description='The header webhook-id', max_length=64)),
                ('type', fields.CharField(max_length=40)),
                ('attempt', fields.IntField()),
                ('status_code', fields.IntField(null=True)),
                ('error', fields.TextField(null=True, description='Null when it was delivered', unique=False)),
                ('response', fields.TextField(null=True, description="The beginning of the answer's body", unique=False)),
                ('duration_ms', fields.IntField()),
                ('attempted_at', fields.DatetimeField(db_default=SqlDefault('now()'), auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'webhook_deliveries', 'app': 'sideline', 'indexes': [Index(fields=['team_id', 'endpoint_id', 'id']), Index(fields=['attempted_at'])], 'pk_attr': 'id', 'table_description': 'One attempt to deliver one event, or a test.'},
        ),
        ops.AddConstraint('DayOff', CheckConstraint(check='last_day >= first_day', name='days_off_days_check')),
        ops.AddConstraint('EventHead', UniqueConstraint(fields=('team_id',), name='event_heads_team_id_key')),
        ops.AddConstraint('EventRelay', UniqueConstraint(fields=('team_id',), name='event_relays_team_id_key')),
        ops.AddConstraint('GoalEvaluation', UniqueConstraint(fields=('team_id',), name='goal_evaluations_team_id_key')),
        ops.AddConstraint('GoalState', UniqueConstraint(fields=('team_id', 'goal_id', 'period_start'), name='goal_states_key')),
        ops.AddConstraint('Holiday', UniqueConstraint(fields=('team_id', 'day'), name='holidays_team_id_day_key')),
        ops.AddConstraint('IdempotencyKey', UniqueConstraint(fields=('team_id', 'user_id', 'key'), name='idempotency_keys_key')),
        ops.AddConstraint('WebhookEndpoint', UniqueConstraint(fields=('team_id', 'id'), name='webhook_endpoints_team_id_id_key')),
        ops.AddConstraint('WebhookDelivery', CheckConstraint(check='attempt > 0', name='webhook_deliveries_attempt_check')),
        ops.AlterModelOptions(
            name='Event',
            options={'table': 'events', 'app': 'sideline', 'pk_attr': 'id', 'table_description': 'One event. `position` grows by one within a team, in the order in which events were committed.'},
        ),
        ops.AlterField(
            model_name='Event',
            name='position',
            field=fields.BigIntField(),
        ),
        ops.RemoveConstraint(
            model_name='GoalVersion',
            name='goal_versions_effective_check',
            fields=None,
        ),
        ops.AddConstraint(
            model_name='GoalVersion',
            constraint=CheckConstraint(check='effective_to >= effective_from - 1', name='goal_versions_effective_check'),
        ),
        ops.AddField(
            model_name='Team',
            name='fiscal_calendar',
            field=fields.CharEnumField(description='MONTHS: MONTHS\nFOUR_FOUR_FIVE: FOUR_FOUR_FIVE', db_default='MONTHS', enum_type=FiscalCalendar, max_length=16),
        ),
        ops.AddField(
            model_name='Team',
            name='work_day_end_minute',
            field=fields.SmallIntField(description='Minutes after local midnight', db_default=1020),
        ),
        ops.AddField(
            model_name='Team',
            name='work_day_start_minute',
            field=fields.SmallIntField(description='Minutes after local midnight', db_default=540),
        ),
        ops.AddConstraint(
            model_name='Team',
            constraint=CheckConstraint(check='0 <= work_day_start_minute AND work_day_start_minute < work_day_end_minute AND work_day_end_minute <= 1440', name='teams_work_day_check'),
        ),
        ops.AddField(
            model_name='User',
            name='ended_on',
            field=fields.DateField(null=True, description='Last day with the team'),
        ),
        ops.AddField(
            model_name='User',
            name='started_on',
            field=fields.DateField(null=True, description='First day with the team; null where nobody has said'),
        ),
        ops.AddConstraint(
            model_name='User',
            constraint=CheckConstraint(check='ended_on >= started_on', name='users_employment_check'),
        ),
    ]
