"""Stocktakes: one opens a count of a warehouse, scans and counts, and closes it."""

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminTextInputWidget

from inventory import models
from inventory import services as inventory
from inventory.admin._stock_pages import WarehouseField, WarehousesPage
from inventory.services._scopes import within
from shop.toolkit.admin import ListPage, ReadOnlyAdmin, ServicePage, button
from shop.toolkit.ids import new_id


class OpenForm(forms.Form):
    warehouse = WarehouseField(label="Warehouse")
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


class OpenCountPage(WarehousesPage, ListPage):
    permission_required = ("inventory.view_count", "inventory.add_count")
    form_class = OpenForm
    slug, label, icon, submit = "open", "Open a count", "add", "Open"

    def act(self, given: dict[str, Any]) -> str:
        opened = inventory.open_count(count_id=new_id(), actor_id=self.actor_id, **given)
        self.made = models.Count.objects.get(pk=opened.id)
        return f"Opened a count of {opened.warehouse}."

    def done_at(self) -> str:
        return self.address("enter", self.history_object().pk)


class _CountPage(ServicePage):
    permission_required = ("inventory.view_count", "inventory.change_count")

    @classmethod
    def leads_on(cls, row: Any, user: Any) -> bool:
        return row.closed_at is None


class EnterPage(_CountPage):
    form_class = EnterForm
    slug, label, icon, submit = "enter", "Enter counts", "barcode_scanner", "Enter"

    def form_valid(self, form: EnterForm) -> HttpResponse:
        if form.cleaned_data["counted"] is None:
            return self.render_to_response(self.get_context_data(form=form))  # now the number
        self.product_id = form.product_id
        return super().form_valid(form)

    def act(self, given: dict[str, Any]) -> str:
        counted = given["counted"]
        inventory.record_count(self.row.pk, product_id=self.product_id, counted=counted, actor_id=self.actor_id)
        return f"{given['sku']}: {counted} counted."

    def done_at(self) -> str:
        return self.address("enter", self.row.pk)


class ClosePage(_CountPage):
    form_class = forms.Form
    slug, label, icon = "close", "Close the count", "check"

    def act(self, given: dict[str, Any]) -> str:
        closed = inventory.close_count(self.row.pk, actor_id=self.actor_id)
        differing = sum(1 for line in closed.lines if line.variance)
        return f"Closed: {len(closed.lines)} products counted, {differing} differed and were corrected."


@admin.register(models.Count)
class CountAdmin(ReadOnlyAdmin):
    list_display = ("warehouse", "note", "opened_at", "closed_at")
    list_filter = (("warehouse", admin.RelatedOnlyFieldListFilter),)
    ordering = ("-opened_at",)
    fields = ("warehouse", "note", "opened_at", "closed_at")
    change_form_outer_after_template = "inventory/lines.html"
    actions_list = ("open",)
    actions_detail = ("enter", "close")
    open = button(OpenCountPage)
    enter = button(EnterPage)
    close = button(ClosePage)

    def get_queryset(self, request: HttpRequest) -> QuerySet[models.Count]:
        rows: QuerySet[models.Count] = super().get_queryset(request)
        return rows.filter(within(inventory.scope_of(request.user.pk))).select_related("warehouse")

    def detail(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        return {"lines_title": "What was counted; what differs first", "lines": _lines(row.pk)}


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
