"""Scores and accolades."""

from tortoise import migrations


class Migration(migrations.Migration):
    dependencies = [("sideline", "0012_plans")]

    initial = False

    operations = []
