"""What nobody waits for, done by `manage.py work`. Any number of workers do it, each job by one of them.

A job whose worker was killed is given to another (`rescue`), so each of them may be begun twice: each step is a
transaction of its own, and knows from the rows what is left to do.
"""

import logging
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.core.management import call_command
from django.utils import timezone
from opentelemetry import trace
from procrastinate import JobContext, RetryStrategy
from procrastinate.contrib.django import app
from procrastinate.exceptions import JobAborted, UniqueViolation
from procrastinate.jobs import Status
from procrastinate.tasks import Task

from inventory import services as inventory
from orders import services as orders
from shop import verification
from shop.toolkit import jobs
from shop.toolkit.db import transactions
from shop.toolkit.http import idempotency
from users import services as users

logger = logging.getLogger(__name__)

BATCH, MAILS_AT_ONCE = 100, 10
SILENT_SECONDS = 30  # after which a worker that has not been heard of is taken for dead
KEPT = timedelta(days=7)  # jobs that failed
# Subject and text of each mail to the owner of an account; `how` is what to do with its token.
MAILS = {
    users.MailKind.RESET: (
        "Set a new password",
        """Somebody, most likely you, wants to set a new password for your account.

{how}

It works once, within an hour. If it was not you, ignore this mail.
""",
    ),
    users.MailKind.CREDENTIALS_CHANGED: (
        "Your password was changed",
        """The password of your account was changed. If it was not you, set a new one now.
""",
    ),
    users.MailKind.EMAIL_CHANGE: (
        "Confirm your new address",
        """Somebody, most likely you, wants to use this address for their account.

{how}

It works once, within an hour. If it was not you, ignore this mail.
""",
    ),
    users.MailKind.EMAIL_CHANGE_ASKED: (
        "Your email address will change",
        """Your account will get another email address once that address is confirmed. If it was not you, set a new
password now: the address then stays as it is.
""",
    ),
    users.MailKind.EMAIL_TAKEN: (
        "An account has this address already",
        """Somebody, most likely you, wants to use this address for their account, but another account has it already.
Nothing was changed.
""",
    ),
}


@app.task(
    name=inventory.FINISH_IMPORT,
    pass_context=True,
    # Few and soon: while it waits for its next time, so do the imports behind it. `resume_imports` comes back to it.
    retry=RetryStrategy(max_attempts=3, wait=5),
)
def finish_import(context: JobContext, *, import_id: str) -> None:
    """Finish an import that was too large for the request that brought it. A worker told to stop leaves the rest."""

    def go_on(document: inventory.StockImport) -> None:
        if context.should_abort():
            raise JobAborted(f"the import {import_id} has {document.rows - document.done} rows left")

    document = inventory.finish_import(UUID(import_id), on_step=go_on)
    logger.info("The import %s of %d rows is %s", import_id, document.rows, document.status)


def resume_imports() -> None:
    """See that every unfinished import is finished, also one whose command was killed, or whose job has failed."""
    under_way = {job["import_id"] for job in jobs.under_way(inventory.FINISH_IMPORT)}
    for import_id in map(str, inventory.unfinished_imports()):
        if import_id not in under_way:
            jobs.defer(inventory.FINISH_IMPORT, lock=inventory.ONE_IMPORT, import_id=import_id)


def expire_holds() -> None:
    """Expire the holds past their deadline, and the orders that hung on them."""
    while transactions.run(lambda: orders.expire_due(limit=BATCH, now=timezone.now())):
        pass


def send_mails() -> None:
    """Send the mails to owners of accounts that are due.

    They are rows that this looks for, not jobs: to defer one would take a request for a known address longer than one
    for an unknown. One that cannot be built, or is refused, holds up no other; a mail server that does not answer is
    asked again next time.
    """
    now = timezone.now()
    with closing(get_connection()) as server:
        for _ in range(MAILS_AT_ONCE):
            mail = transactions.run(lambda: users.take_mail(now=now))
            if mail is None:
                return
            server.open()
            try:
                _message(mail, server).send()
            except Exception as error:
                logger.warning("The mail %d to user %d could not be sent: %r", mail.id, mail.user_id, error)
                server.close()  # whatever state it is in; the next mail opens it anew
                continue
            transactions.run(partial(users.end_mail, mail))


def _message(mail: users.Mail, server: Any) -> EmailMessage:
    subject, text = MAILS[mail.kind]
    pages = {
        users.MailKind.RESET: settings.PASSWORD_RESET_URL,
        users.MailKind.EMAIL_CHANGE: settings.EMAIL_CHANGE_URL,
    }
    where = pages.get(mail.kind, "").replace("{token}", mail.token)
    text = text.format(how=f"Open {where}" if where else f"Your token is {mail.token}")
    return EmailMessage(subject, text, None, [mail.address], connection=server)


def clear_keys() -> None:
    """Delete the idempotency keys that are past their time."""
    idempotency.clear()


@app.periodic(cron="30 3 * * *")  # UTC; it reads the whole ledger
@app.task(
    name="verify_books", queueing_lock="verify_books", pass_context=True, retry=RetryStrategy(max_attempts=3, wait=60)
)
def verify_books(context: JobContext, timestamp: int) -> None:
    """Check every invariant, as `verify_stock` does. What is found is in the log, on the staff's first page, and told
    to Prometheus."""

    def go_on(*_: object) -> None:
        if context.should_abort():
            raise JobAborted("the books were not looked at to the end")

    findings = verification.verify(now=timezone.now(), on_check=go_on)
    if findings:
        logger.error("The books are broken: %s", ", ".join(finding.check for finding in findings))


def clear_attempts() -> None:
    """Forget the failed logins that no longer stand against anybody."""
    transactions.run(users.clear_attempts)


def clear_sessions() -> None:
    """Forget who was signed in: sessions of the staff's screens, families of tokens, and mails that were given up."""
    call_command("clearsessions")
    users.clear_sessions()
    transactions.run(users.clear_mails)


def clear_imports() -> None:
    """Forget the rows of imports that nobody will ask for any more."""
    transactions.run(lambda: inventory.clear_imports(now=timezone.now()))


@app.periodic(cron="* * * * *")
@app.task(name="rescue", queueing_lock="rescue")
async def rescue(timestamp: int) -> None:
    """Give the jobs of workers that are dead to others, and forget jobs that failed long ago."""
    for job in await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=SILENT_SECONDS):
        logger.warning("The worker of job %s is gone; another does it", job.call_string)
        try:
            await app.job_manager.retry_job(job)
        except UniqueViolation:  # the same chore waits to be done already
            await app.job_manager.finish_job(job, Status.ABORTED, delete_job=True)
    hours = int(KEPT / timedelta(hours=1))
    await app.job_manager.delete_old_jobs(nb_hours=hours, include_failed=True, include_aborted=True)


def _from_time_to_time(cron: str, work: Callable[[], None]) -> Task[Any, Any, Any]:
    """Have a worker do this at the times that `cron` names, its last field the seconds where it has six.

    What it meets (a lock, a mail server that is away, a bug) is logged, and no failed job kept: its next time is soon.
    """

    @app.periodic(cron=cron)
    @app.task(name=work.__name__, queueing_lock=work.__name__)
    def run(timestamp: int) -> None:
        try:
            work()
        except Exception:
            trace.get_current_span().set_status(trace.StatusCode.ERROR)
            logger.exception("The chore %s failed; it is tried again at its next time", work.__name__)

    return run


# What `work --once` does beside the jobs that wait, and the imports.
PERIODIC: list[Task[Any, Any, Any]] = [
    rescue,
    *(_from_time_to_time("* * * * * */5", work) for work in (expire_holds, send_mails)),
    *(_from_time_to_time("*/10 * * * *", work) for work in (clear_keys, clear_attempts, clear_imports)),
]
_from_time_to_time("* * * * *", resume_imports)
_from_time_to_time("50 3 * * *", clear_sessions)
