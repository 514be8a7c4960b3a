import contextlib
import time
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import connection
from django.utils.module_loading import import_string
from procrastinate import App, PsycopgConnector
from procrastinate.contrib.django import app
from procrastinate.contrib.django.utils import connector_params
from procrastinate.exceptions import AlreadyEnqueued
from prometheus_client import start_http_server

from shop import tasks

AT_ONCE = 3  # jobs; an import and a look at all books may take long, and the other chores are not held up by them
STOP_SECONDS = 3
POLL_SECONDS = 2


class Command(BaseCommand):
    """Do what nobody waits for, again and again: finish imports, expire overdue holds, send mails, look at all books
    each night, clear old idempotency keys, failed logins and rows of imports.

    `make run` starts one. Any number may run at once, here and on other machines: each job is done by one of them, and
    the jobs of one that is killed are done by others a minute later. It ends when it is told to, and when the
    database goes away; whatever started it (`make run`, systemd, a container) starts it again.
    """

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="do what there is to do, and end")
        parser.add_argument("--metrics-port", type=int, help="tell Prometheus what this worker counts, on this port")
        parser.add_argument("--metrics-host", default="127.0.0.1", help="of this address; nobody is asked for a token")

    def handle(self, *args: Any, once: bool, metrics_port: int | None, metrics_host: str, **options: Any) -> None:
        _make_room()
        if metrics_port:
            start_http_server(metrics_port, metrics_host)
        if once:
            defer_all(int(time.time()))
        with app.replace_connector(_connector()) as working:
            run(working, wait=not once)


def defer_all(now: int) -> None:
    """Have everything done that is done from time to time, unless it waits to be done already."""
    tasks.resume_imports()
    for task in tasks.PERIODIC:
        with contextlib.suppress(AlreadyEnqueued):
            task.defer(timestamp=now)
    connection.close()  # it is the jobs' now


def run(working: App, *, wait: bool) -> None:
    """Do jobs until told to stop, or until there is none."""
    working.run_worker(
        wait=wait,
        concurrency=AT_ONCE,
        fetch_job_polling_interval=POLL_SECONDS,
        # A pooler that gives every transaction another connection has none to listen on.
        listen_notify=wait and not settings.POOLED_BY_TRANSACTION,
        delete_jobs="successful",
        shutdown_graceful_timeout=STOP_SECONDS,
        stalled_worker_timeout=tasks.SILENT_SECONDS,
        task_middleware=[
            *(working.worker_defaults.get("task_middleware") or []),  # the library's own gives connections back
            *(import_string(name)() for name in settings.JOB_MIDDLEWARE),
        ],
    )


def _make_room() -> None:
    """Have a connection for each job, which keeps it to its end; the pool is as large as a server's worker needs it."""
    pool = connection.settings_dict["OPTIONS"]["pool"]
    if pool:
        pool["max_size"] = max(pool["max_size"], AT_ONCE)


def _connector() -> PsycopgConnector:
    """Return the connections of the queue itself, by which jobs are taken and ended; it listens on one more."""
    return PsycopgConnector(kwargs=connector_params(), min_size=1, max_size=AT_ONCE + 1, timeout=5)
