"""PATCH /users/me: a new password or address needs more than a token, and its owner is told. POST .../confirm."""

import re
from datetime import timedelta

import pytest
from django.core import mail
from django.core.management import call_command
from django.db import connection

from shop import tasks
from shop.toolkit.db import transactions
from shop.toolkit.rates import Rate
from tests import factories
from tests.conftest import counted_statements, fetch
from tests.inventory.imports import in_threads
from tests.users.second_factor import enrolled
from users import changes, models
from users import services as users

ME, TOKEN, CONFIRM = "/api/v1/users/me", "/api/v1/auth/token", "/api/v1/auth/email-change/confirm"
NEW = "a quite different phrase"
PROOF = {"current_password": factories.PASSWORD}
CHANGES = [{"password": NEW}, {"email": "new@example.com"}, {"password": NEW, "email": "new@example.com"}]


@pytest.fixture
def anna(database):
    return factories.user(email="anna@example.com")


@pytest.fixture
def her(anna):
    return factories.client(anna)


def can_log_in(api, email: str, password: str = factories.PASSWORD) -> bool:
    return api.post(TOKEN, {"email": email, "password": password}).status_code == 200


def sent() -> dict[str, str]:
    """Send what is due; return the subject of each mail by its address."""
    mail.outbox.clear()
    tasks.send_mails()
    return {message.to[0]: message.subject for message in mail.outbox}


def token_to(address: str) -> str:
    (message,) = [message for message in mail.outbox if message.to == [address]]
    return re.search(r"token is (\S+)", message.body)[1]


def asked(her, email: str) -> str:
    """Ask for an address and return the token that was sent to it."""
    assert her.patch(ME, {"email": email, **PROOF}).status_code == 200
    sent()
    return token_to(email)


@pytest.mark.parametrize("change", CHANGES)
def test_a_token_alone_changes_neither(api, her, change):
    refused = her.patch(ME, {"name": "Else", **change})
    assert refused.status_code == 400
    assert [error["field"] for error in refused.json()["errors"]] == ["current_password"]
    wrong = her.patch(ME, {**change, "current_password": "wrong"})
    assert (wrong.status_code, wrong.json()["code"]) == (401, "invalid_credentials")
    assert can_log_in(api, "anna@example.com")
    assert her.get(ME).json()["name"] == ""
    assert sent() == {}


def test_a_new_password_with_the_old_one_is_told_to_the_owner(api, her):
    assert her.patch(ME, {"password": NEW, **PROOF}).status_code == 200
    assert can_log_in(api, "anna@example.com", NEW)
    assert not can_log_in(api, "anna@example.com")
    assert sent() == {"anna@example.com": "Your password was changed"}


def test_a_weak_password_is_refused_and_nothing_changed(api, her):
    refused = her.patch(ME, {"password": "12345", "name": "Else", **PROOF})
    assert refused.json()["errors"][0]["code"] == "weak_password"
    assert her.get(ME).json()["name"] == ""
    assert can_log_in(api, "anna@example.com")


def test_guesses_at_the_current_password_are_failed_logins(api, her, settings):
    settings.THROTTLE_LOGIN = Rate(3, timedelta(minutes=15))
    wrong = {"password": NEW, "current_password": "wrong"}
    assert [her.patch(ME, wrong).status_code for _ in range(4)] == [401] * 3 + [429]
    assert her.patch(ME, {"password": NEW, **PROOF}).status_code == 429
    assert api.post(TOKEN, {"email": "anna@example.com", "password": factories.PASSWORD}).status_code == 429


def test_a_right_one_counts_nothing(her, settings):
    settings.THROTTLE_LOGIN = Rate(3, timedelta(minutes=15))
    for _ in range(5):
        assert her.patch(ME, {"email": "anna@example.com", **PROOF}).status_code == 200


def test_staff_with_a_second_factor_show_it(api, request):
    account = factories.user(is_staff=True)
    request.getfixturevalue("_on")
    code, paper = enrolled(account.email)
    login = {"email": account.email, "password": factories.PASSWORD, "otp_code": paper[0]}
    token = api.post(TOKEN, login).json()["access"]
    headers = {"authorization": f"Bearer {token}"}

    missing = api.patch(ME, {"password": NEW, **PROOF}, headers=headers)
    wrong = api.patch(ME, {"password": NEW, **PROOF, "otp_code": "000000"}, headers=headers)

    assert (missing.status_code, missing.json()["code"]) == (401, "otp_required")
    assert (wrong.status_code, wrong.json()["code"]) == (401, "invalid_credentials")
    factories_reset()
    assert api.patch(ME, {"password": NEW, **PROOF, "otp_code": code}, headers=headers).status_code == 200


def factories_reset() -> None:
    """Have the devices forget the wrong code: they make the next one wait."""
    with connection.cursor() as cursor:
        for table in ("otp_totp_totpdevice", "users_paperdevice"):
            cursor.execute(f"UPDATE {table} SET throttling_failure_count = 0, throttling_failure_timestamp = NULL")


def test_a_new_address_counts_once_it_is_confirmed(api, her, anna):
    answer = her.patch(ME, {"email": "New@Bücher.example", **PROOF})
    assert (answer.status_code, answer.json()["email"]) == (200, "anna@example.com")
    assert sent() == {
        "new@xn--bcher-kva.example": "Confirm your new address",
        "anna@example.com": "Your email address will change",
    }
    assert can_log_in(api, "anna@example.com")
    assert not can_log_in(api, "new@bücher.example")

    token = token_to("new@xn--bcher-kva.example")
    assert api.post(CONFIRM, {"token": token}).status_code == 204

    assert her.get(ME).json()["email"] == "new@xn--bcher-kva.example"
    assert can_log_in(api, "new@bücher.example")
    assert not can_log_in(api, "anna@example.com")
    again = api.post(CONFIRM, {"token": token})
    assert (again.status_code, again.json()["errors"][0]["code"]) == (400, "invalid_token")


def test_a_token_is_of_the_last_address_that_was_asked_for(api, her):
    typo = asked(her, "an@example.com")
    right = asked(her, "new@example.com")
    assert api.post(CONFIRM, {"token": typo}).status_code == 400
    assert api.post(CONFIRM, {"token": right}).status_code == 204


def test_a_token_of_before_is_not_good_again_when_the_address_is_wanted_again(api, her):
    first = asked(her, "new@example.com")
    assert api.post(CONFIRM, {"token": first}).status_code == 204
    assert api.post(CONFIRM, {"token": asked(her, "anna@example.com")}).status_code == 204
    her.patch(ME, {"email": "new@example.com", **PROOF})
    assert api.post(CONFIRM, {"token": first}).status_code == 400


def test_ones_own_address_takes_the_wish_back(api, her):
    token = asked(her, "new@example.com")
    assert her.patch(ME, {"email": "Anna@example.com", **PROOF}).status_code == 200
    assert api.post(CONFIRM, {"token": token}).status_code == 400
    assert sent() == {}


def test_a_wish_that_was_taken_back_before_it_was_sent_is_not_sent(her):
    her.patch(ME, {"email": "new@example.com", **PROOF})
    her.patch(ME, {"email": "anna@example.com", **PROOF})
    assert "new@example.com" not in sent()


@pytest.mark.parametrize("end", ["another password", "switched off", "an hour"])
def test_a_token_ends(api, her, anna, settings, end):
    token = asked(her, "new@example.com")
    if end == "another password":
        her.patch(ME, {"password": NEW, **PROOF})
    elif end == "switched off":
        models.User.objects.filter(pk=anna.id).update(is_active=False)
    else:
        settings.PASSWORD_RESET_TIMEOUT = -1
    assert api.post(CONFIRM, {"token": token}).status_code == 400
    assert fetch("SELECT email FROM users_user") == [("anna@example.com",)]


@pytest.mark.parametrize("token", ["x", ":", "a:b:c", "1.abc", "\uff11:a:b", "é" * 100])
def test_a_token_that_is_none_is_refused(api, token):
    refused = api.post(CONFIRM, {"token": token})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "token")


def test_nobody_is_told_whether_an_address_is_taken_but_its_owner(api, her):
    factories.user(email="taken@example.com")
    her.patch(ME, {"email": "first@example.com", **PROOF})
    answers, counts = [], []
    for email in ("free@example.com", "taken@example.com"):
        with counted_statements() as statements:
            answers.append(her.patch(ME, {"email": email, **PROOF}))
        counts.append(len(statements))
        told = sent()
    assert answers[0].status_code == 200
    assert answers[0].content == answers[1].content
    assert counts[0] == counts[1]
    assert told["taken@example.com"] == "An account has this address already"
    assert "token" not in mail.outbox[0].body


def test_an_address_that_was_taken_meanwhile_is_told_to_who_reads_its_mails(api, her):
    token = asked(her, "new@example.com")
    factories.user(email="new@example.com")
    refused = api.post(CONFIRM, {"token": token})
    assert (refused.status_code, refused.json()["code"]) == (409, "email_exists")
    assert her.get(ME).json()["email"] == "anna@example.com"


def test_nobody_sends_mails_without_end(her):
    statuses = [her.patch(ME, {"email": f"new{number}@example.com", **PROOF}).status_code for number in range(6)]
    assert statuses == [200] * 5 + [429]


@pytest.mark.alone
def test_what_was_proved_by_a_password_that_is_no_longer_it_changes_nothing(database, anna):
    proof = {"current_password": factories.PASSWORD, "address": "127.0.0.1"}
    approvals = [changes.approve_change(anna.id, password=f"{NEW} {number}", **proof) for number in range(4)]

    def apply(approval: changes.Approval) -> bool:
        try:
            transactions.run(lambda: changes.update_profile(anna.id, approval=approval))
        except users.InvalidCredentials:
            return False
        return True

    left = iter(approvals)
    assert sorted(in_threads(lambda: apply(next(left)), times=4)) == [False, False, False, True]


def test_an_approval_is_for_one_account(database, anna):
    approval = changes.approve_change(anna.id, password=NEW, current_password=factories.PASSWORD, address="")
    with pytest.raises(users.InvalidCredentials):
        transactions.run(lambda: changes.update_profile(factories.user().id, approval=approval))


@pytest.mark.alone
def test_of_parallel_uses_of_one_token_one_gets_through(her):
    token = asked(her, "new@example.com")

    def use() -> bool:
        try:
            transactions.run(lambda: changes.confirm_email(token=token))
        except users.InvalidEmailToken:
            return False
        return True

    assert sorted(in_threads(use, times=5)) == [False] * 4 + [True]


def test_the_mail_leads_to_the_storefront_where_it_has_a_page(her, settings):
    settings.EMAIL_CHANGE_URL = "https://shop.example/confirm?t={token}"
    her.patch(ME, {"email": "new@example.com", **PROOF})
    sent()
    assert any("Open https://shop.example/confirm?t=" in message.body for message in mail.outbox)


def test_a_mail_that_cannot_be_built_holds_up_no_other(api, her, anna):
    for number in range(2):
        poison = factories.user()
        api.post("/api/v1/auth/password-reset", {"email": poison.email})
        models.Mail.objects.filter(user_id=poison.id).update(address=f"a{number}\n@example.com")
    her.patch(ME, {"password": NEW, **PROOF})

    call_command("work", "--once")

    assert [message.to for message in mail.outbox] == [["anna@example.com"]]
    assert fetch("SELECT tries FROM users_mail") == [(1,), (1,)]


def test_with_an_idempotency_key_it_is_judged_and_done_once(api, anna, her):
    key = {"idempotency-key": "change-1"}
    body = {"email": "new@example.com", **PROOF}
    first = her.patch(ME, body, headers=key)
    rows = fetch("SELECT count(*), max(nonce::text) FROM users_emailchange")
    again = her.patch(ME, body, headers=key)
    assert (first.status_code, again.content) == (200, first.content)
    assert again.headers["idempotent-replayed"] == "true"
    assert fetch("SELECT count(*), max(nonce::text) FROM users_emailchange") == rows
    assert her.patch(ME, {**body, "email": "else@example.com"}, headers=key).status_code == 422
