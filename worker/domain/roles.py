"""What a person may do in the console."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """The roles, the least first; each may do all that the ones before it may."""

    VIEWER = "viewer"  #: looks, with numbers and addresses masked
    OPERATOR = "operator"  #: reveals, mends, acts
    ADMIN = "admin"  #: makes users and keys

    def covers(self, other: Role) -> bool:
        """Tell whether who has this role may do what *other* may."""
        order = list(Role)
        return order.index(self) >= order.index(other)
