"""The film: comments, scorecards, playlists, requests for feedback."""

from tortoise import migrations


class Migration(migrations.Migration):
    dependencies = [("sideline", "0010_integration_storage")]

    initial = False

    operations = []
