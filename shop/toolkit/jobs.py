"""What is to be done later by `manage.py work`: a queue in the same database, so that a job is there exactly when what
it is about is committed."""

import contextlib

from django.db.models import Count
from procrastinate.contrib.django import app
from procrastinate.contrib.django.models import ProcrastinateJob
from procrastinate.exceptions import AlreadyEnqueued


def defer(task: str, *, lock: str | None = None, **arguments: str) -> None:
    """Have a worker do the task of this name (`shop.tasks`) once this transaction is committed.

    Of the jobs with the same `lock` one runs at a time, in the order they were deferred.
    """
    app.configure_task(task, lock=lock).defer(**arguments)


def defer_unless_waiting(task: str, *, name: str, lock: str | None = None, **arguments: str) -> None:
    """Do the same, outside of a transaction, unless a job of this `name` waits already."""
    with contextlib.suppress(AlreadyEnqueued):
        app.configure_task(task, lock=lock, queueing_lock=name).defer(**arguments)


def count_by_status() -> dict[str, int]:
    """Return how many jobs of each status there are; those that were done are not kept."""
    found = ProcrastinateJob.objects.values_list("status").annotate(count=Count("id"))
    return {str(status): count for status, count in found}
