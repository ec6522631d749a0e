"""What files are to the rest of Sideline."""

from __future__ import annotations

from domain.connectors import Audience, Manifest, Setting
from domain.models.teams import Feed

MANIFEST = Manifest(
    kind="files",
    label="Files",
    audience=Audience.TEAM,
    feeds=tuple(Feed),
    feeds_by_records=True,
    settings=(
        Setting(
            "folder",
            "Folder",
            required=False,
            help="A folder of the server, below one that its operator allows. Files of folders in it are read too.",
        ),
        Setting(
            "url",
            "Address",
            required=False,
            help="Instead of a folder: an S3-style listing, or a manifest that names one file a line.",
        ),
        Setting(
            "authorization",
            "Authorization",
            secret=True,
            required=False,
            help="What requests to the address carry as their Authorization header, such as Bearer and a token.",
        ),
        Setting(
            "source",
            "Source",
            required=False,
            help="The system that the records come from; ids of records are unique within it.",
        ),
    ),
)
