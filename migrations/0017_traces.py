"""A job knows the trace in which it was asked for."""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    """The column has no default: adding it rewrites nothing."""

    dependencies = [("sideline", "0016_exports")]

    initial = False

    operations = [
        ops.AddField(
            model_name="Job",
            name="trace_parent",
            field=fields.CharField(
                max_length=55, null=True, description="W3C Trace Context of whoever asked for it, where it is traced"
            ),
        ),
    ]
