"""What nobody waits for, done by `manage.py work`. Any number of workers do it, each job by one of them.

A job whose worker was killed is given to another (`rescue`), so each of them may be begun twice: each step is a
transaction of its own, and knows from the rows what is left to do.
"""

import logging
from datetime import timedelta
from smtplib import SMTPRecipientsRefused, SMTPResponseException
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.mail import send_mail
from django.utils import timezone
from procrastinate import JobContext, RetryStrategy
from procrastinate.contrib.django import app
from procrastinate.exceptions import JobAborted

from inventory import services as inventory
from orders import services as orders
from shop.toolkit import idempotency, jobs, transactions
from users import services as users

logger = logging.getLogger(__name__)

BATCH, MAILS_AT_ONCE = 100, 10
SILENT_SECONDS = 30  # after which a worker that has not been heard of is taken for dead
KEPT = timedelta(days=7)  # jobs that failed
EVERY_FIVE_SECONDS, EVERY_MINUTE, EVERY_TEN_MINUTES = "* * * * * */5", "* * * * *", "*/10 * * * *"
RESET_MAIL = """Somebody, most likely you, wants to set a new password for your account.

{how}

It is good for an hour and once. If it was not you, nothing needs to be done.
"""


@app.task(
    name=inventory.FINISH_IMPORT,
    pass_context=True,
    retry=RetryStrategy(max_attempts=10, exponential_wait=2),
)
def finish_import(context: JobContext, *, import_id: str) -> None:
    """Finish an import that was too large for the request that brought it. A worker told to stop leaves the rest."""

    def go_on(document: inventory.StockImport) -> None:
        if context.should_abort():
            raise JobAborted(f"the import {import_id} has {document.rows - document.done} rows left")

    document = inventory.finish_import(UUID(import_id), on_step=go_on)
    logger.info("The import %s of %d rows is %s", import_id, document.rows, document.status)


@app.periodic(cron=EVERY_MINUTE)
@app.task(name="resume_imports", queueing_lock="resume_imports")
def resume_imports(timestamp: int) -> None:
    """See that every unfinished import is finished, also one whose command was killed, or whose job has failed."""
    for import_id in inventory.unfinished_imports():
        jobs.defer_unless_waiting(
            inventory.FINISH_IMPORT, name=f"import {import_id}", lock=inventory.ONE_IMPORT, import_id=str(import_id)
        )


@app.periodic(cron=EVERY_FIVE_SECONDS)
@app.task(name="expire_holds", queueing_lock="expire_holds")
def expire_holds(timestamp: int) -> None:
    """Expire the holds past their deadline, and the orders that hung on them."""
    while transactions.run(lambda: orders.expire_due(limit=BATCH, now=timezone.now())):
        pass


@app.periodic(cron=EVERY_FIVE_SECONDS)
@app.task(name="send_mails", queueing_lock="send_mails")
def send_mails(timestamp: int) -> None:
    """Send the mails by which passwords are set anew.

    They are rows that this looks for, not jobs: to defer one would take a request for a known address longer than one
    for an unknown. One that is refused for what it is holds up no other; a mail server that does not answer is asked
    again next time.
    """
    now = timezone.now()
    for _ in range(MAILS_AT_ONCE):
        mail = transactions.run(lambda: users.take_password_reset(now=now))
        if mail is None:
            return
        try:
            _send(mail)
        except (SMTPRecipientsRefused, SMTPResponseException) as error:
            logger.warning("A mail to user %d was refused: %s", mail.user_id, error)


def _send(mail: users.ResetMail) -> None:
    where = settings.PASSWORD_RESET_URL.replace("{token}", mail.token)
    text = RESET_MAIL.format(how=f"Open {where}" if where else f"Your token is {mail.token}")
    send_mail("Set a new password", text, None, [mail.email])
    transactions.run(lambda: users.end_password_reset(mail.user_id))


@app.periodic(cron=EVERY_TEN_MINUTES)
@app.task(name="clear_keys", queueing_lock="clear_keys")
def clear_keys(timestamp: int) -> None:
    """Delete the idempotency keys that are past their time."""
    while transactions.run(lambda: idempotency.clear(limit=BATCH)):
        pass


@app.periodic(cron=EVERY_TEN_MINUTES)
@app.task(name="clear_attempts", queueing_lock="clear_attempts")
def clear_attempts(timestamp: int) -> None:
    """Forget the failed logins that no longer stand against anybody."""
    transactions.run(users.clear_attempts)


@app.periodic(cron=EVERY_TEN_MINUTES)
@app.task(name="clear_imports", queueing_lock="clear_imports")
def clear_imports(timestamp: int) -> None:
    """Forget the rows of imports that nobody will ask for any more."""
    transactions.run(lambda: inventory.clear_imports(now=timezone.now()))


@app.periodic(cron=EVERY_MINUTE)
@app.task(name="rescue", queueing_lock="rescue")
async def rescue(timestamp: int) -> None:
    """Give the jobs of workers that are dead to others, and forget jobs that failed long ago."""
    for job in await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=SILENT_SECONDS):
        logger.warning("The worker of job %s is gone; another does it", job.call_string)
        await app.job_manager.retry_job(job)
    hours = int(KEPT / timedelta(hours=1))
    await app.job_manager.delete_old_jobs(nb_hours=hours, include_failed=True, include_aborted=True)


# What `work --once` does beside the jobs that wait, and the imports.
PERIODIC: list[Any] = [expire_holds, send_mails, clear_keys, clear_attempts, clear_imports, rescue]
