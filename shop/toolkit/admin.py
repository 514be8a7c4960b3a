"""The ground of the staff's screens: rows to look at, and pages whose form is one call of a service."""

from collections.abc import Iterable
from typing import Any, ClassVar

from django.contrib import messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth import get_user_model
from django.db import OperationalError
from django.db.models import Model
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.generic import FormView
from unfold.admin import ModelAdmin
from unfold.views import UnfoldModelAdminViewMixin

from shop.toolkit import transactions
from shop.toolkit.refusals import Refusal


def actors(ids: Iterable[int | None]) -> dict[int | None, str]:
    """Return who has these ids, as people know them."""
    wanted = {actor_id for actor_id in ids if actor_id is not None}
    return {row.pk: str(row) for row in get_user_model().objects.filter(pk__in=wanted)}


class ReadOnlyAdmin(ModelAdmin):
    """Rows to look at. What changes them is a service, so that nothing happens behind its back."""

    show_full_result_count = False  # counting every row of a large table would be the slowest part of the page

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class ServicePage(UnfoldModelAdminViewMixin, FormView):
    """A page with a form that is one call of a service, in one transaction. A refusal is an error above the form.

    A subclass names `permission_required`, `title`, `submit` and its form, does the work in `act`, and says in `target`
    where to go then; `makes_the_row` when the row's history begins here. Every step is in the admin's history, beside
    what the service itself writes down.
    """

    template_name = "toolkit/service_page.html"
    submit: ClassVar[str]
    makes_the_row = False
    raise_exception = True

    def act(self, given: dict[str, Any]) -> str:
        """Call the service; return what was done, in a sentence."""
        raise NotImplementedError

    def target(self) -> str:
        """Return the address to go to when it is done."""
        raise NotImplementedError

    def done_at(self) -> str:
        """Return the same, where another page follows a success than a change of mind."""
        return self.target()

    def history_object(self) -> Model:
        """Return the row whose history tells of it."""
        raise NotImplementedError

    def explain(self, refusal: Refusal) -> str:
        """Return what to say of a refusal."""
        return str(refusal)

    def form_valid(self, form: Any) -> HttpResponse:
        try:
            done = transactions.run(lambda: self._act_and_log(form.cleaned_data))
        except Refusal as refusal:
            form.add_error(None, self.explain(refusal))
            return self.form_invalid(form)
        except OperationalError as error:
            if transactions.sqlstate(error) not in transactions.CONTENDED:
                raise
            form.add_error(None, "Too many want the same just now; try again.")
            return self.form_invalid(form)
        messages.success(self.request, done)
        return redirect(self.done_at())

    def _act_and_log(self, given: dict[str, Any]) -> str:
        row = None if self.makes_the_row else self.history_object()
        done = self.act(given)
        # Of a row that is deleted the history is kept as well.
        LogEntry.objects.log_actions(self.actor_id, [row or self.history_object()], CHANGE, change_message=done)
        return done

    def form_invalid(self, form: Form) -> HttpResponse:
        return self.render_to_response(self.get_context_data(form=form), status=422)

    @property
    def actor_id(self) -> int:
        """Return the id of the member of staff whose page this is."""
        assert self.request.user.pk is not None, "the admin lets nobody in without an account"
        return self.request.user.pk

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(submit_label=self.submit, back=self.target(), **kwargs)
