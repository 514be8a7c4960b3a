"""The ground of the staff's screens: rows to look at, and pages whose form is one call of a service."""

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any, ClassVar
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.auth import get_user_model
from django.db import DataError, OperationalError
from django.db.models import Model
from django.forms import Form
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.generic import FormView
from unfold.admin import ModelAdmin
from unfold.decorators import action
from unfold.views import UnfoldModelAdminViewMixin

from shop.toolkit.callers import User
from shop.toolkit.db import transactions
from shop.toolkit.http import idempotency
from shop.toolkit.http.permissions import caller_of
from shop.toolkit.refusals import Refusal
from shop.toolkit.staff import form_keys


def actors(ids: Iterable[int | None]) -> dict[int | None, str]:
    """Return who has these ids, as people know them."""
    wanted = {actor_id for actor_id in ids if actor_id is not None}
    return {row.pk: str(row) for row in get_user_model().objects.filter(pk__in=wanted)}


def link(name: str, *arguments: Any, label: Any, **query: Any) -> SafeString:
    """Return a link to a page of the admin, by the name of its address."""
    address = reverse(f"admin:{name}", args=arguments) + (f"?{urlencode(query)}" if query else "")
    return format_html('<a class="text-primary-600 dark:text-primary-500" href="{}">{}</a>', address, label)


class AdminPage(UnfoldModelAdminViewMixin):
    """A page of the admin beside Django's own: of one row, or of the list.

    A subclass names `permission_required`, all of which its reader needs; `slug`, the end of its address; `label` and
    `icon`, what its button shows.
    """

    raise_exception = True
    permission_required: ClassVar[Sequence[str]] = ()
    slug: ClassVar[str]
    label: ClassVar[str]
    icon: ClassVar[str]
    has_button = True
    request: HttpRequest
    kwargs: dict[str, Any]

    @classmethod
    def allows(cls, user: Any) -> bool:
        """Tell whether somebody may use the page; who may not sees no button either."""
        return bool(user.has_perms(cls.permission_required))

    @classmethod
    def leads_on(cls, row: Any, user: Any) -> bool:
        """Tell whether the row is where the page leads on from, for this user; the service has the last word."""
        return True

    def has_permission(self) -> bool:
        return self.allows(self.request.user)

    @cached_property
    def row(self) -> Any:
        """The row whose page this is, among those that its reader sees."""
        found = self.model_admin.get_object(self.request, self.kwargs["object_id"])
        if found is None:
            raise Http404
        return found

    @property
    def title(self) -> str:
        return f"{self.label}: {self.row}"

    @property
    def caller(self) -> User:
        """The member of staff who is here."""
        return caller_of(self.request)

    def target(self) -> str:
        """Return the address of the row's own page."""
        return self.address("change", self.row.pk)

    def address(self, page: str, *arguments: Any) -> str:
        """Return the address of a page of the same model."""
        meta = self.model_admin.model._meta
        return reverse(f"admin:{meta.app_label}_{meta.model_name}_{page}", args=arguments)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context_data(back=self.target(), **kwargs)
        return context


class ServicePage(AdminPage, FormView):
    """A page with a form that is one call of a service, in one transaction. A refusal is an error above the form.

    A subclass names its form and does the work in `act`; `submit` is what the form's button says, where that is not
    the page's label. Every step is in the admin's history, beside what the service itself writes down. A form that is
    sent twice is done once: its key is claimed in the transaction of the work, and the first result shown again.
    """

    template_name = "toolkit/service_page.html"
    submit: ClassVar[str] = ""
    scope: idempotency.Scope
    takes_key_again = True  # whether a page that is shown again keeps the key of the form that was sent

    def act(self, given: dict[str, Any]) -> str:
        """Call the service; return what was done, in a sentence."""
        raise NotImplementedError

    def done_at(self) -> str:
        """Return where to go when it is done."""
        return self.target()

    def history_object(self) -> Model:
        """Return the row whose history tells of it."""
        row: Model = self.row
        return row

    def explain(self, refusal: Refusal) -> str:
        """Return what to say of a refusal."""
        return str(refusal)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            self.scope = form_keys.scope_of(request, self.caller)
        except form_keys.FormOutdated as outdated:
            return self._asked_again(self.get_form(), str(outdated))
        response: HttpResponse = super().post(request, *args, **kwargs)
        return response

    def form_valid(self, form: Any) -> HttpResponse:
        try:
            kept = transactions.run(lambda: self._act_once(dict(form.cleaned_data)))
        except Refusal as refusal:
            return self._refused(form, refusal)
        except OperationalError as error:
            if transactions.sqlstate(error) not in transactions.BUSY:
                raise
            form.add_error(None, "Somebody else is changing the same rows. Try again in a moment.")
            return self._shown_again(form, status=409)
        if kept is not None:
            return self._already(form_keys.read(kept))
        messages.success(self.request, self.message)
        return redirect(self.location)

    def _act_once(self, given: dict[str, Any]) -> idempotency.Kept | None:
        """Do the work and keep its result, or return the result that it had."""
        if kept := idempotency.claim(self.scope):
            return kept
        self.message = self.act(given)
        # A row that `act` deleted was read before, and has its history as well.
        LogEntry.objects.log_actions(self.caller.id, [self.history_object()], CHANGE, change_message=self.message)
        self.location = self.done_at()
        form_keys.keep(self.scope, message=self.message, location=self.location)
        return None

    def _already(self, done: form_keys.Done) -> HttpResponse:
        messages.info(self.request, f"Already done at {done.time}: {done.message}")
        return redirect(done.location)

    def _refused(self, form: Any, refusal: Refusal) -> HttpResponse:
        if isinstance(refusal, idempotency.KeyReused):
            done = form_keys.read(refusal.kept)
            said = (
                f"This form was sent before, at {done.time}: {done.message} To make this change as well, send it again."
            )
            return self._asked_again(form, said)
        if isinstance(refusal, idempotency.InProgress):
            form.add_error(None, "This form was sent before and is still being worked on. Send it again in a moment.")
            return self._shown_again(form, status=409)
        form.add_error(None, self.explain(refusal))
        return self._shown_again(form)

    def _asked_again(self, form: Any, said: str) -> HttpResponse:
        """Show a form whose key is of no use with a new one, so that who means it sends it again."""
        self.takes_key_again = False
        form.add_error(None, said)
        return self._shown_again(form)

    def form_invalid(self, form: Form) -> HttpResponse:
        # What was right when it was sent first may be wrong because it was done.
        try:
            if done := form_keys.find(self.scope):
                return self._already(done)
        except idempotency.KeyReused as refusal:
            return self._refused(form, refusal)
        return self._shown_again(form)

    def _shown_again(self, form: Form, *, status: int = 422) -> HttpResponse:
        return self.render_to_response(self.get_context_data(form=form), status=status)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        # Nothing was done under the key of a form that was refused. The same key for the next try: the first may still
        # be on its way.
        is_kept = self.request.method == "POST" and self.takes_key_again
        key = self.request.POST[form_keys.FIELD] if is_kept else form_keys.new_key(self.caller)
        return super().get_context_data(submit_label=self.submit or self.label, form_key=key, **kwargs)


class OfList(AdminPage):
    """Makes a page one of the list, not of a row."""

    @property
    def title(self) -> str:
        return self.label

    def target(self) -> str:
        return self.address("changelist")


class ListPage(OfList, ServicePage):
    """A page of the list whose form makes a row; `act` says in `made` which."""

    made: Model | None = None

    def history_object(self) -> Model:
        assert self.made is not None, "`act` says what it made"
        return self.made


def button(page: type[AdminPage]) -> Any:
    """Return the action that is a page: its button leads to its own address.

    The name that it is given in the admin's class is the page's `slug`, with underscores.
    """

    def show(self: ModelAdmin, request: HttpRequest, object_id: str | None = None) -> HttpResponseBase:
        return page.as_view(model_admin=self)(request, object_id=object_id)

    show.__name__ = page.slug.replace("-", "_")
    show.page = page  # type: ignore[attr-defined]
    return action(description=page.label, url_path=page.slug, icon=page.icon)(show)


class ReadOnlyAdmin(ModelAdmin):
    """Rows to look at. What changes them is a service, so that nothing happens behind its back."""

    show_full_result_count = False  # counting every row of a large table would be the slowest part of the page

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        try:
            return super().get_changelist_instance(request)
        except (OverflowError, DataError) as error:  # a filter by hand, such as the year 99999
            raise IncorrectLookupParameters(str(error)) from error

    def get_actions_list(self, request: HttpRequest) -> list[Any]:
        return [found for found in super().get_actions_list(request) if self._allows(found.method, request)]

    def get_actions_detail(self, request: HttpRequest, object_id: str) -> list[Any]:
        """Show the pages that somebody may use, and that lead on from where the row is."""
        row = self.get_object(request, object_id)
        found = super().get_actions_detail(request, object_id) if row is not None else []
        allowed = [here for here in found if self._allows(here.method, request)]
        return [here for here in allowed if here.method.page.leads_on(row, request.user)]

    def _allows(self, method: Callable[..., Any], request: HttpRequest) -> bool:
        page: type[AdminPage] = method.page  # type: ignore[attr-defined]  # by `button`
        return page.has_button and page.allows(request.user)

    def detail(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """Return what the page of a row shows beside its fields."""
        return {}

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        row = self.get_object(request, object_id) if object_id and self.has_view_permission(request) else None
        context = self.detail(request, row) if row is not None else {}
        return super().changeform_view(request, object_id, form_url, {**(extra_context or {}), **context})
