from uuid import UUID

from uuid_utils import compat


def new_id() -> UUID:
    """Return a UUIDv7: ordered by time, so inserts stay at one end of the index, and made without a shared sequence."""
    return compat.uuid7()
