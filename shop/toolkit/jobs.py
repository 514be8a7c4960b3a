"""What is to be done later by `manage.py work`: a queue in the same database, so that a job is there exactly when what
it is about is committed."""

from django.db.models import Count
from procrastinate.contrib.django import app
from procrastinate.contrib.django.models import ProcrastinateJob


def defer(task: str, *, lock: str | None = None, **arguments: str) -> None:
    """Have a worker do the task of this name (`shop.tasks`) once this transaction is committed.

    Of the jobs with the same `lock` one runs at a time, in the order they were deferred.
    """
    app.configure_task(task, lock=lock).defer(**arguments)


def under_way(task: str) -> list[dict[str, str]]:
    """Return the arguments of the jobs of this task that wait or are being done."""
    found = ProcrastinateJob.objects.filter(task_name=task, status__in=["todo", "doing"])
    return list(found.values_list("args", flat=True))


def count_by_status() -> dict[str, int]:
    """Return how many jobs of each status there are; those that were done are not kept."""
    found = ProcrastinateJob.objects.values_list("status").annotate(count=Count("id"))
    return {str(status): count for status, count in found}
