"""Coaching plans, sessions and programs."""

from tortoise import migrations


class Migration(migrations.Migration):
    dependencies = [("sideline", "0011_film")]

    initial = False

    operations = []
