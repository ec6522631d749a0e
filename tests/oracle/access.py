"""Who may see whom, by brute force over plain dicts, from section 2 of the design; shares no code with domain/."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class World:
    """A team: users with group, manager and permissions; groups with parents."""

    groups: dict[int, int | None] = field(default_factory=dict)
    user_group: dict[int, int | None] = field(default_factory=dict)
    user_manager: dict[int, int | None] = field(default_factory=dict)
    permissions: dict[int, set[str]] = field(default_factory=dict)
    admins: set[int] = field(default_factory=set)

    def groups_below(self, group: int | None) -> set[int]:
        """A group and all below it."""
        if group is None:
            return set()
        found = {group}
        while True:
            more = {child for child, parent in self.groups.items() if parent in found} - found
            if not more:
                return found
            found |= more

    def reports(self, user: int) -> set[int]:
        """Everybody below a user in the reporting line, whatever circles it has."""
        found: set[int] = set()
        while True:
            more = {
                other for other, manager in self.user_manager.items() if manager == user or manager in found
            } - found
            if not more:
                return found
            found |= more

    def sees(self, viewer: int, permission: str) -> set[int]:
        """The users whose data a viewer may see by a permission."""
        everybody = set(self.user_group)
        if viewer in self.admins:
            return everybody
        if permission not in self.permissions[viewer]:
            return {viewer}
        if not self.groups:
            return everybody
        below = self.groups_below(self.user_group[viewer])
        return {viewer} | self.reports(viewer) | {user for user, group in self.user_group.items() if group in below}

    def sees_groups(self, viewer: int, permission: str) -> set[int]:
        """The groups whose data a viewer may see by a permission."""
        if viewer in self.admins:
            return set(self.groups)
        if permission not in self.permissions[viewer]:
            return set()
        return self.groups_below(self.user_group[viewer])
