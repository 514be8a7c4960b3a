"""The words for what an import does, and how far it is."""

from enum import nonmember

from django.db import models


class Mode(models.TextChoices):
    """What the quantities of an import are."""

    SET = "set", "what is on hand"
    ADJUST = "adjust", "what is added"
    COUNT = "count", "what was counted"


class ImportStatus(models.TextChoices):
    """Where an import is. The first four go on when told to; the others are the end."""

    STAGED = "staged"
    APPLYING = "applying"
    ABORTING = "aborting"
    UNDOING = "undoing"
    CHECKED = "checked"
    REFUSED = "refused"
    APPLIED = "applied"
    ABORTED = "aborted"
    UNDONE = "undone"

    UNFINISHED = nonmember((STAGED, APPLYING, ABORTING, UNDOING))
    # Their file is in the ledger, or on its way there.
    LOADED = nonmember((STAGED, APPLYING, APPLIED))
