"""Who asks: what a service takes in place of a bare user id, which cannot tell "nobody" from "everybody".

A caller says whom the ledger names, what they may see and do, and whose idempotency keys theirs are. Inventory looks up
in which warehouses they work.
"""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class System:
    """The shop itself: a command, a job, or an app that acts for its own documents. It sees and may do everything.

    `actor_id` is the user at whose request it acts, for the ledger; None where there is none.
    """

    actor_id: int | None = None

    def holds(self, permission: str) -> bool:
        """Return True: the shop needs no permission."""
        return True

    def may(self, permission: str) -> bool:
        """Return True: the shop needs no permission."""
        return True


@dataclass(frozen=True)
class User:
    """Somebody with an account."""

    id: int
    is_staff: bool = field(default=False, compare=False)
    has_perm: Callable[[str], bool] = field(default=lambda permission: False, compare=False, repr=False)

    @property
    def actor_id(self) -> int:
        """The id that the ledger names."""
        return self.id

    def holds(self, permission: str) -> bool:
        """Tell whether they have a permission `app.verb_model`, as staff or as a service with an account."""
        return self.has_perm(permission)

    def may(self, permission: str) -> bool:
        """Tell whether they are staff with a permission, and so see or change what is not their own."""
        return self.is_staff and self.has_perm(permission)


@dataclass(frozen=True)
class Stranger:
    """Somebody without an account, who sees what is public and owns nothing."""


Caller = System | User

SYSTEM = System()
