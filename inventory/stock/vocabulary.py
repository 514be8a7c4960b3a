"""The words for what happens to stock: kinds of movements, reasons, states of a reservation."""

from enum import nonmember

from django.db import models


class Kind(models.TextChoices):
    """What a movement did."""

    RECEIVE = "receive"
    ADJUST = "adjust"
    TRANSFER = "transfer"
    COUNT = "count"
    RESERVE = "reserve"
    COMMIT = "commit"
    RELEASE = "release"
    EXPIRE = "expire"
    SHIP = "ship"
    RETURN = "return"


class Reason(models.TextChoices):
    """Why staff changed stock; reservations need no reason beside their kind."""

    NONE = ""
    RECEIVED = "received"
    DAMAGED = "damaged"
    LOST = "lost"
    FOUND = "found"
    CORRECTION = "correction"
    RETURN = "return"
    COUNT = "count"
    IMPORT = "import"
    TRANSFER = "transfer"
    SALE = "sale"

    # What people may give, by the API, on the screens, by commands and in files. The others come with what is done.
    MANUAL = nonmember((RECEIVED, DAMAGED, LOST, FOUND, CORRECTION, RETURN, COUNT))


class State(models.TextChoices):
    """Where a reservation is in its life. It moves one way only."""

    HELD = "held"
    CONFIRMED = "confirmed"
    FULFILLED = "fulfilled"
    RELEASED = "released"
    EXPIRED = "expired"

    OPEN = nonmember((HELD, CONFIRMED))
