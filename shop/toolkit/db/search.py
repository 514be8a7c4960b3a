"""Searches by people: every word must be found, in any order."""

from django.db.models import Q

MAX_WORDS = 8  # each is looked for in every row that is left


def words(text: str) -> list[str]:
    """Return the first MAX_WORDS different words of a search."""
    return list(dict.fromkeys(text.split()))[:MAX_WORDS]


def every_word(text: str, *fields: str) -> Q:
    """Return the condition that each word of `text` is part of one of the fields, in any case."""
    condition = Q()
    for word in words(text):
        found = Q()
        for field in fields:
            found |= Q(**{f"{field}__icontains": word})
        condition &= found
    return condition
