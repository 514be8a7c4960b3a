"""Stocktakes: one opens a count of a warehouse, scans and counts, and closes it."""

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin
from django.db.models import Model, OuterRef, QuerySet, Subquery
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminTextInputWidget

from inventory import models
from inventory import services as inventory
from inventory.admin._stock_pages import warehouse_field
from shop.toolkit.admin import ReadOnlyAdmin, ServicePage
from shop.toolkit.ids import new_id

ADD, CHANGE = "inventory.add_count", "inventory.change_count"


class OpenForm(forms.Form):
    warehouse = warehouse_field("Warehouse")
    note = forms.CharField(label="Note", max_length=models.MAX_NOTE, required=False, widget=UnfoldAdminTextInputWidget)


class EnterForm(forms.Form):
    """A scanner types the SKU and Enter; the number and Enter follow."""

    sku = forms.CharField(label="SKU", max_length=64, widget=UnfoldAdminTextInputWidget({"autocomplete": "off"}))
    counted = forms.IntegerField(
        label="Counted", min_value=0, max_value=models.MAX_LEVEL, required=False, widget=UnfoldAdminIntegerFieldWidget
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        waits_for_number = self.is_bound and bool(self.data.get("sku"))
        self.fields["counted" if waits_for_number else "sku"].widget.attrs["autofocus"] = True

    def clean_sku(self) -> str:
        sku: str = self.cleaned_data["sku"]
        row = models.Item.objects.filter(sku=sku).first()
        if row is None:
            raise forms.ValidationError(f"There is no product with the SKU {sku}.")
        self.product_id = row.product_id
        return sku


class OpenCountPage(ServicePage):
    permission_required = ("inventory.view_count", ADD)
    form_class, title, submit = OpenForm, "Open a count", "Open"
    makes_the_row = True

    def act(self, given: dict[str, Any]) -> str:
        self.count_id = new_id()
        inventory.open_count(count_id=self.count_id, actor_id=self.actor_id, **given)
        return f"Opened a count of {given['warehouse']}."

    def history_object(self) -> Model:
        return models.Count.objects.get(pk=self.count_id)

    def target(self) -> str:
        if hasattr(self, "count_id"):
            return reverse("admin:inventory_count_enter_page", args=[self.count_id])
        return reverse("admin:inventory_count_changelist")


class _CountPage(ServicePage):
    permission_required = ("inventory.view_count", CHANGE)

    @property
    def count_id(self) -> UUID:
        count_id: UUID = self.kwargs["count_id"]
        return count_id

    @property
    def title(self) -> str:
        return f"{self.submit}: {self.history_object()}"

    def history_object(self) -> Model:
        row = models.Count.objects.select_related("warehouse").filter(pk=self.count_id).first()
        if row is None:
            raise Http404
        return row

    def target(self) -> str:
        return reverse("admin:inventory_count_change", args=[self.count_id])


class EnterPage(_CountPage):
    form_class, submit = EnterForm, "Enter"

    def form_valid(self, form: EnterForm) -> HttpResponse:
        if form.cleaned_data["counted"] is None:
            return self.render_to_response(self.get_context_data(form=form))  # now the number
        self.product_id = form.product_id
        return super().form_valid(form)

    def act(self, given: dict[str, Any]) -> str:
        counted = given["counted"]
        inventory.record_count(self.count_id, product_id=self.product_id, counted=counted, actor_id=self.actor_id)
        return f"{given['sku']}: {counted} counted."

    def done_at(self) -> str:
        return reverse("admin:inventory_count_enter_page", args=[self.count_id])


class ClosePage(_CountPage):
    form_class, submit = forms.Form, "Close the count"

    def act(self, given: dict[str, Any]) -> str:
        closed = inventory.close_count(self.count_id, actor_id=self.actor_id)
        differing = sum(1 for line in closed.lines if line.variance)
        return f"Closed: {len(closed.lines)} products counted, {differing} differed and were corrected."


@admin.register(models.Count)
class CountAdmin(ReadOnlyAdmin):
    list_display = ("place", "note", "opened_at", "closed_at")
    list_filter = ("warehouse",)
    ordering = ("-opened_at",)
    fields = ("place", "note", "opened_at", "closed_at")
    readonly_fields = ("place",)
    change_form_outer_after_template = "inventory/count.html"
    actions_list = ("open_count",)
    actions_detail = ("enter", "close")

    @display(description="warehouse")
    def place(self, row: Any) -> str:
        return row.code

    def get_queryset(self, request: HttpRequest) -> QuerySet[models.Count]:
        codes = models.Warehouse.objects.filter(pk=OuterRef("warehouse_id")).values("code")
        return super().get_queryset(request).annotate(code=Subquery(codes))

    def has_open_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return request.user.has_perm(ADD)

    def has_enter_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return request.user.has_perm(CHANGE)

    @action(description="Open a count", url_path="to-open", permissions=["open"], icon="add")
    def open_count(self, request: HttpRequest) -> HttpResponse:
        return redirect("admin:inventory_count_open_page")

    @action(description="Enter counts", url_path="to-enter", permissions=["enter"], icon="barcode_scanner")
    def enter(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return redirect("admin:inventory_count_enter_page", object_id)

    @action(description="Close the count", url_path="to-close", permissions=["enter"], icon="check")
    def close(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return redirect("admin:inventory_count_close_page", object_id)

    def get_actions_detail(self, request: HttpRequest, object_id: str) -> list[Any]:
        row = self.get_object(request, object_id)
        return super().get_actions_detail(request, object_id) if row is not None and row.closed_at is None else []

    def get_urls(self) -> list[URLPattern]:
        def page(route: str, name: str, view: type[ServicePage]) -> URLPattern:
            return path(
                route, self.admin_site.admin_view(view.as_view(model_admin=self)), name=f"inventory_count_{name}_page"
            )

        return [
            page("open/", "open", OpenCountPage),
            page("<uuid:count_id>/enter/", "enter", EnterPage),
            page("<uuid:count_id>/close/", "close", ClosePage),
            *super().get_urls(),
        ]

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        row = self.get_object(request, object_id) if object_id else None
        context = {"lines": _lines(row.pk)} if row is not None else {}
        return super().changeform_view(request, object_id, form_url, {**(extra_context or {}), **context})


def _lines(count_id: UUID) -> dict[str, Any]:
    """Return what was counted, what differs first."""
    lines = inventory.get_count(count_id).lines
    items = models.Item.objects.in_bulk([line.product_id for line in lines])
    return {
        "headers": ["SKU", "name", "counted", "in the books then", "difference", "counted at"],
        "rows": [
            [items[line.product_id].sku, items[line.product_id].name, line.counted, line.book,
             f"{line.variance:+}" if line.variance else "", f"{line.counted_at:%Y-%m-%d %H:%M:%S}"]
            for line in sorted(lines, key=lambda line: (line.variance == 0, items[line.product_id].sku))
        ],
    }  # fmt: skip
