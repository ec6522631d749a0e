"""Exports that are made by a job."""

from tortoise import migrations


class Migration(migrations.Migration):
    dependencies = [("sideline", "0015_live_calls")]

    initial = False

    operations = []
