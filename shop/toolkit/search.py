"""Searches by people: every word must be found, in any order."""

from django.db.models import Q


def every_word(text: str, *fields: str) -> Q:
    """Return the condition that each word of `text` is part of one of the fields, in any case."""
    condition = Q()
    for word in text.split():
        found = Q()
        for field in fields:
            found |= Q(**{f"{field}__icontains": word})
        condition &= found
    return condition
