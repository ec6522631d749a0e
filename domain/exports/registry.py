"""All connections that can be exported, and why some cannot.

`tests/api/test_exports.py` walks the schema: every field that answers with a connection is here, one way or the other.
"""

from __future__ import annotations

from collections.abc import Mapping

from domain.errors import NotFound
from domain.exports import activities, administration, coaching, film, goals, numbers, people, work
from domain.exports.source import Exportable

EXPORTABLES: Mapping[str, Exportable] = {
    one.name: one
    for one in (
        *people.EXPORTABLES,
        *activities.EXPORTABLES,
        *goals.EXPORTABLES,
        *numbers.EXPORTABLES,
        *film.EXPORTABLES,
        *coaching.EXPORTABLES,
        *work.EXPORTABLES,
        *administration.EXPORTABLES,
    )
}
"""By name."""

NOT_EXPORTED: Mapping[str, str] = {
    "User.activities": "the rows of activities with the filter userId",
    "User.goals": "the rows of goals with the filter userIds",
    "Group.goals": "the rows of goals with the filter groupIds",
    "Group.members": "rows of users, each with its group",
    "User.accolades": "the rows of accolades with the filter userIds",
    "ScheduledAction.snapshots": "rows of reportSnapshots",
    "Activity.scorecards": "rows of scorecards, each with its activity",
    "IndividualView.activities": "the rows of activities with the filter userId",
    "Query.colleagues": "names to choose from, for the moment of choosing",
}
"""Fields of the schema that answer with a connection and are not exported by a name of their own, with the reason."""


def find_exportable(name: str) -> Exportable:
    """A connection that can be exported.

    Raises:
        NotFound: there is none of this name.
    """
    found = EXPORTABLES.get(name)
    if found is None:
        raise NotFound(
            f"There is no connection {name[:100]!r} to export: choose of {', '.join(EXPORTABLES)}.",
            path=("connection",),
        )
    return found
