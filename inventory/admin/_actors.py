from collections.abc import Iterable

from django.contrib.auth import get_user_model


def actors(ids: Iterable[int | None]) -> dict[int | None, str]:
    """Return who has these ids, as people know them."""
    wanted = {actor_id for actor_id in ids if actor_id is not None}
    return {row.pk: str(row) for row in get_user_model().objects.filter(pk__in=wanted)}
