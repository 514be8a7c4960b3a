from datetime import datetime
from uuid import UUID

from uuid_utils import compat


def new_id() -> UUID:
    """Return a UUIDv7: ordered by time, so inserts stay at one end of the index, and made without a shared sequence."""
    return compat.uuid7()


def first_id_at(moment: datetime) -> UUID:
    """Return the lowest key that could have been made at `moment`: a UUIDv7 begins with 48 bits of milliseconds."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)
