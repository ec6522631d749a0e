"""Scheduled actions."""

from tortoise import migrations


class Migration(migrations.Migration):
    dependencies = [("sideline", "0013_scores")]

    initial = False

    operations = []
