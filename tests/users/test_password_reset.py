"""POST /auth/password-reset and /auth/password-reset/confirm, and the mail between them."""

from smtplib import SMTPRecipientsRefused

import pytest
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from shop import tasks
from shop.toolkit.db import transactions
from tests import factories
from tests.conftest import counted_statements, fetch
from tests.inventory.imports import in_threads
from tests.users.reset_mails import CONFIRM, NEW, RESET, asked
from users import models, resets
from users import services as users


def test_a_mail_brings_a_token_that_sets_a_new_password_once(api):
    account = factories.user(email="anna@example.com")
    session = factories.access_token(account)
    token = asked(api, "ANNA@example.com")
    assert mail.outbox[-1].to == ["anna@example.com"]

    assert api.post(CONFIRM, {"token": token, "password": NEW}).status_code == 204

    login = {"email": account.email}
    assert api.post("/api/v1/auth/token", {**login, "password": NEW}).status_code == 200
    assert api.post("/api/v1/auth/token", {**login, "password": factories.PASSWORD}).status_code == 401
    assert api.get("/api/v1/users/me", headers={"authorization": f"Bearer {session}"}).status_code == 401
    again = api.post(CONFIRM, {"token": token, "password": "yet another phrase"})
    assert (again.status_code, again.json()["errors"][0]["field"]) == (400, "token")


def test_nobody_is_told_whether_there_is_such_an_account(api):
    account, inactive = factories.user(), factories.user()
    models.User.objects.filter(pk=inactive.id).update(is_active=False)
    answers, counts = [], []
    for email in (account.email, "nobody@example.com", inactive.email, "no address"):
        with counted_statements() as statements:
            answers.append(api.post(RESET, {"email": email}))
        counts.append(len(statements))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.content for answer in answers}) == 1
    assert len(set(counts)) == 1
    tasks.send_mails()
    assert [message.to for message in mail.outbox] == [[account.email]]


def test_asking_again_and_again_sends_one_mail(api):
    account = factories.user()
    for _ in range(3):
        asked(api, account.email)
    assert len(mail.outbox) == 1
    with connection.cursor() as cursor:
        cursor.execute("UPDATE users_loginattempts SET ends_at = now()")  # five minutes later
    asked(api, account.email)
    assert len(mail.outbox) == 2


@pytest.mark.parametrize(
    "token", ["x", "1", "1.", ".", "1.abc-def", "9" * 30 + ".abc-def", "-1.abc-def", "\uff11.abc-def", "1.\u0000"]
)
def test_a_token_that_is_none_is_refused(api, token):
    factories.user()
    refused = api.post(CONFIRM, {"token": token, "password": NEW})
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid")
    assert refused.json()["errors"][0]["field"] == "token"


def test_a_token_of_another_is_refused(api):
    one, other = factories.user(), factories.user()
    secret = asked(api, one.email).partition(".")[2]
    refused = api.post(CONFIRM, {"token": f"{other.id}.{secret}", "password": NEW})
    assert refused.status_code == 400
    assert api.post("/api/v1/auth/token", {"email": other.email, "password": factories.PASSWORD}).status_code == 200


def test_a_weak_password_leaves_the_token_good(api):
    token = asked(api, factories.user().email)
    weak = api.post(CONFIRM, {"token": token, "password": "12345"})
    assert weak.json()["errors"][0]["code"] == "weak_password"
    assert api.post(CONFIRM, {"token": token, "password": NEW}).status_code == 204


def test_a_token_is_good_for_an_hour_and_not_for_who_was_switched_off(api, settings):
    account = factories.user()
    token = asked(api, account.email)
    models.User.objects.filter(pk=account.id).update(is_active=False)
    assert api.post(CONFIRM, {"token": token, "password": NEW}).status_code == 400
    models.User.objects.filter(pk=account.id).update(is_active=True)
    settings.PASSWORD_RESET_TIMEOUT = -1
    assert api.post(CONFIRM, {"token": token, "password": NEW}).status_code == 400


def test_the_mail_leads_to_the_storefront_where_it_has_a_page(api, settings):
    settings.PASSWORD_RESET_URL = "https://shop.example/new?t={token}"
    account = factories.user()
    api.post(RESET, {"email": account.email})
    tasks.send_mails()
    assert f"Open https://shop.example/new?t={account.id}." in mail.outbox[-1].body


class Refusing(EmailBackend):
    """A mail server that has no such mailbox, for one address."""

    def send_messages(self, messages):
        if any("gone" in address for message in messages for address in message.to):
            raise SMTPRecipientsRefused({})
        return super().send_messages(messages)


def test_a_mail_that_cannot_be_sent_holds_up_no_other_and_is_tried_later(api, settings):
    settings.EMAIL_BACKEND = f"{__name__}.Refusing"
    gone, here = factories.user(email="gone@example.com"), factories.user(email="here@example.com")
    for account in (gone, here):
        api.post(RESET, {"email": account.email})
    call_command("work", "--once")
    assert [message.to for message in mail.outbox] == [["here@example.com"]]
    assert fetch("SELECT user_id, tries, due_at > now() + interval '50 seconds' FROM users_mail") == [
        (gone.id, 1, True)
    ]

    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    models.Mail.objects.update(due_at=timezone.now())
    call_command("work", "--once")
    assert [message.to for message in mail.outbox][1:] == [["gone@example.com"]]
    assert fetch("SELECT count(*) FROM users_mail") == [(0,)]


def test_it_is_given_up_at_last(api, settings):
    settings.EMAIL_BACKEND = f"{__name__}.Refusing"
    api.post(RESET, {"email": factories.user(email="gone@example.com").email})
    for _ in range(10):
        models.Mail.objects.update(due_at=timezone.now())
        tasks.send_mails()
    assert fetch("SELECT tries FROM users_mail") == [(6,)]


@pytest.mark.alone
def test_two_workers_send_it_once(api):
    api.post(RESET, {"email": factories.user().email})
    now = timezone.now()
    taken = in_threads(lambda: transactions.run(lambda: users.take_mail(now=now)), times=4)
    assert len([mail for mail in taken if mail is not None]) == 1


@pytest.mark.alone
def test_of_parallel_uses_of_one_token_one_gets_through(api):
    account = factories.user()
    token = asked(api, account.email)

    def use(number: int) -> str:
        try:
            new = resets.prepare_reset(token=token, password=f"{NEW} {number}")
            transactions.run(lambda: resets.reset_password(new))
        except users.InvalidResetToken:
            return "refused"
        return "done"

    numbers = iter(range(6))
    assert sorted(in_threads(lambda: use(next(numbers)), times=6)) == ["done"] + ["refused"] * 5
