"""Accounts and their access."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import F, Q

from shop.toolkit.callers import Caller
from shop.toolkit.db import transactions
from shop.toolkit.db.pages import Page, PageRequest, page_of
from shop.toolkit.refusals import Refusal
from users import hashing, models, sql
from users.attempts import attempts_key, count_attempt, take_back
from users.emails import canonical, lookup_spelling

# An account with full access to the admin.
_IS_SUPERUSER = {"is_superuser": True, "is_staff": True, "is_active": True}


@dataclass(frozen=True)
class User:
    """The data of a user that other apps and clients may see."""

    id: int
    email: str
    name: str
    is_staff: bool
    is_active: bool
    created_at: datetime


class UserNotFound(Refusal):
    """No user has this id or email."""

    def __init__(self, user_id: int | str) -> None:
        super().__init__(f"There is no user {user_id}.")


class OwnAccess(Refusal):
    """The caller would change their own access."""

    def __init__(self) -> None:
        super().__init__("You cannot change your own access. Ask another superuser.")


class NotSuperuser(Refusal):
    """Only superusers can change access, and the caller is not, or no longer, a superuser."""

    def __init__(self) -> None:
        super().__init__("You are no longer a superuser, so nothing was changed. Ask a superuser.")


class EmailExists(Refusal):
    """Another account has this email, ignoring case."""

    def __init__(self) -> None:
        super().__init__("An account with this email already exists. Log in, or use another email.")


class InvalidEmail(Refusal):
    """The text is not a valid email address."""


class WeakPassword(Refusal):
    """The password fails the configured validators; `messages` says why."""

    def __init__(self, messages: list[str]) -> None:
        super().__init__(" ".join(messages))
        self.messages = messages


@dataclass(frozen=True)
class NewAccount:
    """An account ready to be created: its password is validated and hashed."""

    email: str
    name: str
    password_hash: str = field(repr=False)


def prepare_registration(*, email: str, password: str, name: str, address: str) -> NewAccount:
    """Validate a registration and hash its password, for `register`.

    It is counted against the network address, for all processes together, before anything is hashed. Do not call it in
    a transaction: the count must stay even if the registration is refused, and hashing takes long. Raises InvalidEmail,
    WeakPassword, TooManyAttempts, and HashingBusy, which counts nothing.
    """
    user = models.User(email=canonical_email(email), name=name)
    judge_password(password, user)
    hashing.refuse_registration_if_busy()
    keys = []
    if rate := settings.THROTTLE_REGISTER:
        keys = [attempts_key("register", address)]
        count_attempt(keys[0], rate, what="registrations from this network address")
    try:
        with hashing.registration_turn():
            return NewAccount(user.email, name, make_password(password))
    except hashing.HashingBusy:
        take_back(keys)
        raise


@transaction.atomic(savepoint=False)
def register(account: NewAccount) -> User:
    """Create a customer account. Raises EmailExists."""
    user = models.User(email=account.email, name=account.name, password=account.password_hash)
    save(user)
    return public(user)


@transaction.atomic(savepoint=False)
def ensure_superuser(*, email: str, password: str) -> bool:
    """Create a superuser unless the email is taken; tell whether one was created. An existing account stays as it is.

    Raises InvalidEmail.
    """
    address = canonical_email(email)
    if models.User.objects.filter(email=address).exists():
        return False
    models.User.objects.create_superuser(address, password)
    return True


@transaction.atomic(savepoint=False)
def set_access(
    user_id: int, *, is_active: bool, is_staff: bool, is_superuser: bool, groups: Collection[str], caller: Caller
) -> User:
    """Set whether an account can sign in, is staff or a superuser, and its groups by name.

    A deactivated account is signed out at once, and its tokens stay invalid if it is activated again. Raises
    UserNotFound, OwnAccess for the caller's own account, NotSuperuser unless the caller is a superuser now. So there is
    always a superuser left: of two who demote each other, one is refused.
    """
    if user_id == caller.actor_id:
        raise OwnAccess
    superusers = Q(**_IS_SUPERUSER)
    locked = models.User.objects.select_for_update(no_key=True).filter(superusers | Q(pk=user_id)).order_by("pk")
    rows = {row.pk: row for row in locked}
    if caller.actor_id not in rows:
        raise NotSuperuser
    if user_id not in rows:
        raise UserNotFound(user_id)
    row = rows[user_id]
    row.is_active, row.is_staff, row.is_superuser = is_active, is_staff, is_superuser
    row.save(update_fields=["is_active", "is_staff", "is_superuser"])
    if not is_active:
        end_all_sessions(user_id)
    row.groups.set(Group.objects.filter(name__in=groups))
    return public(row)


@transaction.atomic(savepoint=False)
def make_superuser(email: str) -> None:
    """Make an existing account an active superuser, for when no superuser is left. Raises UserNotFound."""
    if not models.User.objects.filter(email=lookup_spelling(email)).update(**_IS_SUPERUSER):
        raise UserNotFound(email)


def has_superuser() -> bool:
    """Tell whether any account has full access to the admin."""
    return models.User.objects.filter(**_IS_SUPERUSER).exists()


def get_user(user_id: int, *, caller: Caller) -> User:
    """Return one user. Other users exist only for staff who may view users. Raises UserNotFound."""
    user = models.User.objects.filter(pk=user_id).first()
    if user is None or (user.pk != caller.actor_id and not caller.may("users.view_user")):
        raise UserNotFound(user_id)
    return public(user)


def lock_user(user_id: int) -> None:
    """Lock a user until the transaction ends. Raises UserNotFound."""
    if not sql.lock_user(user_id):
        raise UserNotFound(user_id)


def ids_by_email(email: str) -> list[int]:
    """Return the ids of the users with this email, ignoring case: one or none."""
    return list(models.User.objects.filter(email=lookup_spelling(email)).values_list("id", flat=True))


def list_users(*, page: PageRequest, search: str = "") -> Page[User]:
    """Return users by id; `search` matches parts of email and name. Raises InvalidCursor."""
    rows = models.User.objects.all()
    if search:
        rows = rows.filter(Q(email__icontains=search) | Q(name__icontains=search))
    return page_of(rows, order=["id"], request=page).map(public)


@transaction.atomic(savepoint=False)
def end_all_sessions(user_id: int) -> None:
    """Invalidate every access and refresh token of the user."""
    models.User.objects.filter(pk=user_id).update(token_version=F("token_version") + 1)


def canonical_email(email: str) -> str:
    """Return the canonical spelling of an email. Raises InvalidEmail."""
    try:
        return canonical(email)
    except ValidationError as error:
        raise InvalidEmail(error.message) from error


def judge_password(password: str, user: models.User) -> None:
    """Raise WeakPassword for a password that is too easy to guess for this user."""
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise WeakPassword(error.messages) from error


def save(user: models.User, update_fields: list[str] | None = None) -> None:
    """Save an account. Raises EmailExists."""
    try:
        user.save(update_fields=update_fields)
    except IntegrityError as error:
        if transactions.sqlstate(error) == transactions.UNIQUE_VIOLATION:
            raise EmailExists from error
        raise


def public(row: models.User) -> User:
    """Return the data of an account that others may see."""
    return User(row.pk, row.email, row.name, row.is_staff, row.is_active, row.created_at)
