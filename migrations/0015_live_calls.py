"""Live calls."""

from tortoise import migrations


class Migration(migrations.Migration):
    dependencies = [("sideline", "0014_actions")]

    initial = False

    operations = []
