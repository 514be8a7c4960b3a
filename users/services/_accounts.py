"""Accounts: who is who, and who may come in."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.models import Group
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import F, Q

from shop.toolkit import transactions
from shop.toolkit.pages import Page, PageRequest, page_of
from shop.toolkit.refusals import Refusal
from users import models, sql
from users.emails import canonical, lookup_spelling


@dataclass(frozen=True)
class User:
    """A user as other apps and clients may know them."""

    id: int
    email: str
    name: str
    is_staff: bool
    is_active: bool
    created_at: datetime


class UserNotFound(Refusal):
    """No user has this id, or this address."""

    def __init__(self, user_id: int | str) -> None:
        super().__init__(f"There is no user {user_id}.")


class OwnAccess(Refusal):
    """Nobody changes their own access."""

    def __init__(self) -> None:
        super().__init__("Nobody changes their own access; ask another superuser.")


class EmailExists(Refusal):
    """Another account has this address, in whatever case it is written."""

    def __init__(self) -> None:
        super().__init__("An account with this email exists already.")


class InvalidEmail(Refusal):
    """The text is no address that mail can be sent to."""


class WeakPassword(Refusal):
    """The password does not pass the configured validators; `messages` tell why."""

    def __init__(self, messages: list[str]) -> None:
        super().__init__(" ".join(messages))
        self.messages = messages


@transaction.atomic(savepoint=False)
def register(*, email: str, password: str, name: str) -> User:
    """Create a customer account.

    Raises InvalidEmail, EmailExists, WeakPassword.
    """
    user = models.User(email=canonical_email(email), name=name)
    set_password(user, password)
    _save(user)
    return _user(user)


@transaction.atomic(savepoint=False)
def ensure_superuser(*, email: str, password: str) -> bool:
    """Create the superuser unless the address is taken; tell whether one was created. An existing one is untouched.

    Raises InvalidEmail.
    """
    address = canonical_email(email)
    if models.User.objects.filter(email=address).exists():
        return False
    models.User.objects.create_superuser(address, password)
    return True


@transaction.atomic(savepoint=False)
def set_access(user_id: int, *, is_active: bool, is_staff: bool, groups: Collection[str], actor_id: int) -> User:
    """Say whether an account may come in, whether it is staff, and of which groups, named by their names.

    An account that is switched off is out at once, and its tokens stay dead when it is switched on again. Raises
    UserNotFound, OwnAccess for the actor's own account, so that nobody locks themselves out.
    """
    if user_id == actor_id:
        raise OwnAccess
    row = models.User.objects.select_for_update(no_key=True).filter(pk=user_id).first()
    if row is None:
        raise UserNotFound(user_id)
    row.is_active, row.is_staff = is_active, is_staff
    row.save(update_fields=["is_active", "is_staff"])
    if not is_active:
        end_all_sessions(user_id)
    row.groups.set(Group.objects.filter(name__in=groups))
    return _user(row)


def has_superuser() -> bool:
    """Tell whether anybody can get into the admin with all rights."""
    return models.User.objects.filter(is_superuser=True, is_active=True).exists()


@transaction.atomic(savepoint=False)
def update_profile(
    user_id: int, *, email: str | None = None, name: str | None = None, password: str | None = None
) -> User:
    """Change what is given, keep what is None. A new password ends every token of the user.

    Raises EmailExists, WeakPassword, UserNotFound.
    """
    user = models.User.objects.select_for_update(no_key=True).filter(pk=user_id).first()
    if user is None:
        raise UserNotFound(user_id)
    if email is not None:
        user.email = canonical_email(email)
    if name is not None:
        user.name = name
    if password is not None:
        set_password(user, password)
    _save(user, update_fields=["email", "name", "password"])
    return _user(user)


def get_user(user_id: int, *, visible_to: int | None = None) -> User:
    """Return one user; with `visible_to`, only that user's own row exists. Raises UserNotFound."""
    user = models.User.objects.filter(pk=user_id).first()
    if user is None or (visible_to is not None and user.pk != visible_to):
        raise UserNotFound(user_id)
    return _user(user)


def lock_user(user_id: int) -> None:
    """Have other transactions that lock the same user wait until this one ends. Raises UserNotFound."""
    if not sql.lock_user(user_id):
        raise UserNotFound(user_id)


def ids_by_email(email: str) -> list[int]:
    """Return the ids of the users who have this address, in whatever case: one or none."""
    return list(models.User.objects.filter(email=lookup_spelling(email)).values_list("id", flat=True))


def list_users(*, page: PageRequest, search: str = "") -> Page[User]:
    """Return users by id; `search` matches parts of email and name. Raises InvalidCursor."""
    rows = models.User.objects.all()
    if search:
        rows = rows.filter(Q(email__icontains=search) | Q(name__icontains=search))
    return page_of(rows, order=["id"], request=page).map(_user)


@transaction.atomic(savepoint=False)
def end_all_sessions(user_id: int) -> None:
    """End every access and refresh token of the user."""
    models.User.objects.filter(pk=user_id).update(token_version=F("token_version") + 1)


def canonical_email(email: str) -> str:
    """Return the one spelling of an address. Raises InvalidEmail."""
    try:
        return canonical(email)
    except ValidationError as error:
        raise InvalidEmail(error.message) from error


def set_password(user: models.User, password: str) -> None:
    """Give an account that is not saved yet a password. Raises WeakPassword."""
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise WeakPassword(error.messages) from error
    user.set_password(password)


def _save(user: models.User, update_fields: list[str] | None = None) -> None:
    try:
        user.save(update_fields=update_fields)
    except IntegrityError as error:
        if transactions.sqlstate(error) == transactions.UNIQUE_VIOLATION:
            raise EmailExists from error
        raise


def _user(row: models.User) -> User:
    return User(row.pk, row.email, row.name, row.is_staff, row.is_active, row.created_at)
