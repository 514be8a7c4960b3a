"""Admin of stocktakes: open a count, scan or enter quantities, review the differences, close it."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404, HttpRequest
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget, UnfoldBooleanSwitchWidget

from inventory.counts import counting, models, posting
from inventory.stock import items, scopes
from inventory.stock import models as stock_models
from inventory.stock.admin.pages import WarehouseField, WarehousesPage
from inventory.stock.limits import MAX_LEVEL, MAX_NOTE
from inventory.stock.scopes import within
from shop.toolkit.callers import SYSTEM
from shop.toolkit.days import shown
from shop.toolkit.http.permissions import caller_of
from shop.toolkit.ids import new_id
from shop.toolkit.plurals import counted
from shop.toolkit.staff import form_keys
from shop.toolkit.staff.admin import ListPage, ReadOnlyAdmin, ServicePage, button, link

LATEST = 10  # lines shown below the scan field
# A quantity must be confirmed if it is above FAR_ABOVE_TIMES the units on record plus FAR_ABOVE_UNITS.
FAR_ABOVE_TIMES, FAR_ABOVE_UNITS = 2, 100


class OpenForm(forms.Form):
    warehouse = WarehouseField(label="Warehouse")
    note = forms.CharField(label="Note", max_length=MAX_NOTE, required=False, widget=UnfoldAdminTextInputWidget)


class ScanForm(forms.Form):
    """The scan field: a scanner types a SKU and Enter. It takes nothing else, so no code is read as a quantity."""

    sku = forms.CharField(
        label="Scan or type a SKU: each scan counts one unit",
        max_length=64,
        widget=UnfoldAdminTextInputWidget({"autocomplete": "off", "autofocus": True, "spellcheck": "false"}),
    )

    def clean_sku(self) -> str:
        sku: str = self.cleaned_data["sku"]
        self.data = {"sku": ""}  # shown again, it is empty: the next scan must not be appended to this one
        try:
            self.item = items.find_item(sku)
        except items.SkuNotFound as refusal:
            raise forms.ValidationError(f"{refusal} It was not counted.") from refusal
        return sku


class QuantityForm(forms.Form):
    """The counted units of a product, and whether they replace an earlier entry or are added to it."""

    quantity = forms.IntegerField(
        label="Quantity",
        min_value=0,
        max_value=MAX_LEVEL,
        # A text field: a number field would drop the letters of a scanned code and accept the rest.
        widget=UnfoldAdminTextInputWidget({"inputmode": "numeric", "autocomplete": "off"}),
    )
    how = forms.ChoiceField(label="How to enter it", widget=UnfoldAdminSelectWidget)
    sure = forms.BooleanField(label="Enter it anyway", required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, book: int, before: int | None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.book, self.before = book, before
        if before is None:
            del self.fields["how"]
        else:
            self.fields["how"].choices = [  # type: ignore[attr-defined]
                ("replace", f"Replace the {before:,} counted before"),
                ("add", f"Add to the {before:,} counted before"),
            ]

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        quantity = given.get("quantity")
        # The confirmation is for the number that was asked about only.
        if quantity is not None and self.data.get("sure") == str(quantity):
            return given
        if doubt := self._doubt(self.data.get("quantity", "").strip(), quantity):
            # Switched off again, even if it was on for another number.
            self.fields["sure"].widget = UnfoldBooleanSwitchWidget({"value": str(quantity)})
            self.data = {name: value for name, value in self.data.items() if name != "sure"}
            anyway = "" if quantity is None else "; to enter it, switch on “Enter it anyway”"
            raise forms.ValidationError(f"{doubt} Nothing was entered{anyway}.")
        return given

    def _doubt(self, typed: str, quantity: int | None) -> str:
        """Return why the input may not be meant as a quantity; empty if there is no doubt."""
        found = stock_models.Item.objects.filter(sku__in={typed, str(quantity)}).first()
        if found is not None:
            return f"{typed} is the SKU of {found.name}. Was it scanned into the wrong field?"
        if quantity is not None and quantity > FAR_ABOVE_TIMES * self.book + FAR_ABOVE_UNITS:
            return f"{quantity:,} is far above the {self.book:,} on record."
        return ""


class OpenCountPage(WarehousesPage, ListPage):
    permission_required = ("inventory.view_count", "inventory.add_count")
    form_class = OpenForm
    slug, label, icon, submit = "open", "Open a count", "add", "Open"

    def act(self, given: dict[str, Any]) -> str:
        opened = counting.open_count(count_id=new_id(), caller=self.caller, **given)
        self.made = models.Count.objects.select_related("warehouse").get(pk=opened.id)
        others = models.Count.objects.filter(warehouse=self.made.warehouse, closed_at__isnull=True).exclude(
            pk=opened.id
        )
        also = f" Another count of {opened.warehouse} is also open." if others.exists() else ""
        return f"Opened a count of {opened.warehouse}.{also}"

    def done_at(self) -> str:
        return self.address("enter", self.history_object().pk)


class _CountPage(ServicePage):
    permission_required = ("inventory.view_count", "inventory.change_count")

    @classmethod
    def leads_on(cls, row: Any, user: Any) -> bool:
        return row.closed_at is None


@dataclass(frozen=True)
class Counted:
    """A product in a count: its units on record now, and its line, None before it is counted."""

    item: stock_models.Item
    book: int
    line: models.CountLine | None

    @classmethod
    def named_by(cls, request: HttpRequest, count: models.Count) -> "Counted | None":
        """Return the product named in the URL; None if there is no such product."""
        named = request.GET.get("product", "")
        is_id = named.isascii() and named.isdigit() and len(named) < 19
        item = stock_models.Item.objects.filter(pk=named).first() if is_id else None
        if item is None:
            return None
        stock = stock_models.Stock.objects.filter(product_id=item.pk, warehouse_id=count.warehouse_id).first()
        line = models.CountLine.objects.filter(count_id=count.pk, product_id=item.pk).first()
        return cls(item, stock.on_hand if stock else 0, line)

    def form(self, **options: Any) -> QuantityForm:
        return QuantityForm(book=self.book, before=self.line.counted if self.line else None, **options)


class _ScanPage(_CountPage):
    """The page for scanning: the scan field, the product counted last with its quantity, and the latest lines.

    After each form that is sent, the scan field has the focus again, so that the next scan is not lost.
    """

    template_name = "inventory/count_scan.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        progress = counting.count_progress(self.row.pk, latest=LATEST)
        shown = {
            "is_open": self.row.closed_at is None,
            "counted": progress.products,
            "units": progress.units,
            "latest": _table(progress.latest, leads_to=self.row.pk),
            "scan_form": ScanForm(),
            "scan_key": form_keys.new_key(self.caller),
            "scan_address": self.address("enter", self.row.pk),
            "close_address": self.address("close", self.row.pk),
            "back": self.address("change", self.row.pk),
        }
        if last := Counted.named_by(self.request, self.row):
            shown |= {
                "last": last,
                "quantity_form": last.form(auto_id="id_of_%s"),
                "quantity_key": form_keys.new_key(self.caller),
                "quantity_address": _address(self.address("quantity", self.row.pk), last.item.pk),
                "remove_address": _address(self.address("remove_line", self.row.pk), last.item.pk),
            }
        found = super().get_context_data(**kwargs)
        return {**found, **shown, **self.own_form(found)}

    def own_form(self, found: dict[str, Any]) -> dict[str, Any]:
        """Return the form of this page and its key, under their names in the template."""
        raise NotImplementedError


class EnterPage(_ScanPage):
    form_class = ScanForm
    slug, label, icon, submit = "enter", "Enter counts", "barcode_scanner", "Count one"

    def form_valid(self, form: ScanForm) -> Any:
        self.scanned = form.item
        return super().form_valid(form)

    def act(self, given: dict[str, Any]) -> str:
        entry = counting.add_to_count(self.row.pk, product_id=self.scanned.product_id, quantity=1, caller=self.caller)
        return _entered(entry)

    def done_at(self) -> str:
        return _address(self.address("enter", self.row.pk), self.scanned.product_id)

    def own_form(self, found: dict[str, Any]) -> dict[str, Any]:
        return {"scan_form": found["form"], "scan_key": found["form_key"]}


class _OfProduct(_CountPage):
    """A page about one product in a count; the URL names the product."""

    has_button = False  # the SKUs of the lines link here

    @property
    def title(self) -> str:
        return f"{self.label}: {self.counted.item}"

    @cached_property
    def counted(self) -> Counted:
        found = Counted.named_by(self.request, self.row)
        if found is None:
            raise Http404
        return found

    def target(self) -> str:
        return _address(self.address("enter", self.row.pk), self.counted.item.pk)


class QuantityPage(_OfProduct, _ScanPage):
    form_class = QuantityForm
    slug, label, icon = "quantity", "Quantity", "pin"

    def get_form(self, form_class: Any = None) -> QuantityForm:
        return self.counted.form(**self.get_form_kwargs(), auto_id="id_of_%s")

    def act(self, given: dict[str, Any]) -> str:
        product_id, quantity = self.counted.item.pk, given["quantity"]
        if given.get("how") == "add":
            entry = counting.add_to_count(self.row.pk, product_id=product_id, quantity=quantity, caller=self.caller)
        else:
            entry = counting.record_count(self.row.pk, product_id=product_id, counted=quantity, caller=self.caller)
        return _entered(entry)

    def own_form(self, found: dict[str, Any]) -> dict[str, Any]:
        return {"quantity_form": found["form"], "quantity_key": found["form_key"]}


class RemoveLinePage(_OfProduct):
    form_class = forms.Form
    template_name = "inventory/count_line.html"
    slug, label, icon, submit = "remove-line", "Remove the line", "delete", "Remove it"

    def act(self, given: dict[str, Any]) -> str:
        removed = counting.remove_count_line(self.row.pk, product_id=self.counted.item.pk, caller=self.caller)
        return f"Removed the line of {removed.sku} ({removed.counted:,} counted)."

    def done_at(self) -> str:
        return self.address("enter", self.row.pk)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(last=self.counted, **kwargs)


class ClosePage(_CountPage):
    form_class = forms.Form
    template_name = "inventory/count_review.html"
    slug, label, icon, submit = "close", "Review and close", "check", "Post the differences and close"

    def act(self, given: dict[str, Any]) -> str:
        closed = posting.close_count(self.row.pk, caller=self.caller)
        self.is_closed = closed.count.closed_at is not None
        corrected = sum(1 for line in closed.posted if line.variance)
        said = f"Posted {counted(len(closed.posted), 'line')}; {corrected:,} of them corrected the stock."
        if self.is_closed:
            return f"{said} The count is closed."
        return f"{said} Still open: {counted(len(closed.obstacles), 'line')}, for the reasons below."

    def done_at(self) -> str:
        return self.target() if self.is_closed else self.address("close", self.row.pk)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        review = posting.review_count(self.row.pk, caller=self.caller)
        why = {obstacle.product_id: obstacle.detail for obstacle in review.obstacles}
        waiting = [line for line in review.count.lines if line.posted_at is None]
        differing = [line for line in waiting if line.variance]
        return super().get_context_data(
            waiting=len(waiting),
            differing=len(differing),
            units_more=sum(line.variance for line in differing if line.variance > 0),
            units_less=-sum(line.variance for line in differing if line.variance < 0),
            obstacles=_obstacles([line for line in waiting if line.product_id in why], why, leads_to=self.row.pk),
            corrections=_table([line for line in differing if line.product_id not in why], leads_to=self.row.pk),
            **kwargs,
        )


class AbandonPage(_CountPage):
    form_class = forms.Form
    template_name = "inventory/count_abandon.html"
    slug, label, icon, submit = "abandon", "Abandon the count", "block", "Abandon it"

    def act(self, given: dict[str, Any]) -> str:
        abandoned = counting.abandon_count(self.row.pk, caller=self.caller)
        left = sum(1 for line in abandoned.lines if line.posted_at is None)
        return f"Abandoned the count of {abandoned.warehouse}: {counted(left, 'line')} not posted."

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        left = models.CountLine.objects.filter(count_id=self.row.pk, posted_at__isnull=True).count()
        return super().get_context_data(left=counted(left, "line"), **kwargs)


@admin.register(models.Count)
class CountAdmin(ReadOnlyAdmin):
    list_display = ("warehouse", "note", "state", "opened_at", "closed_at")
    list_filter = (("warehouse", admin.RelatedOnlyFieldListFilter),)
    ordering = ("-opened_at",)
    fields = ("warehouse", "note", "state", "opened_at", "closed_at")
    readonly_fields = ("state",)
    change_form_outer_after_template = "inventory/lines.html"
    actions_list = ("open",)
    actions_detail = ("enter", "close", "abandon", "quantity", "remove_line")
    open = button(OpenCountPage)
    enter = button(EnterPage)
    quantity = button(QuantityPage)
    remove_line = button(RemoveLinePage)
    close = button(ClosePage)
    abandon = button(AbandonPage)

    def get_queryset(self, request: HttpRequest) -> QuerySet[models.Count]:
        rows: QuerySet[models.Count] = super().get_queryset(request)
        return rows.filter(within(scopes.scope_of(caller_of(request)))).select_related("warehouse")

    @display(description="state")
    def state(self, row: models.Count) -> str:
        if row.closed_at is None:
            return "open"
        return "abandoned" if row.is_abandoned else "closed"

    def detail(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        lines = counting.get_count(row.pk, caller=SYSTEM).lines
        return {
            "lines_title": "Counted lines, differences first",
            "lines": _table(sorted(lines, key=lambda line: (line.variance == 0, line.sku))),
        }


def _entered(entry: counting.CountEntry) -> str:
    """Return the message about an entry."""
    line = entry.line
    before = "" if entry.before is None else f", {entry.before:,} before"
    return f"{line.sku} {line.name}: {line.counted:,} counted{before}; {line.book:,} on record."


def _address(page: str, product_id: int) -> str:
    return f"{page}?product={product_id}"


def _table(lines: Iterable[counting.CountLine], *, leads_to: UUID | None = None) -> dict[str, Any]:
    """Return lines of a count as a table; with the id of an open count, each SKU links to its quantity page."""
    return {
        "headers": ["SKU", "name", "counted", "on record then", "difference", "counted at", "posted at"],
        "rows": [
            [*_figures(line, leads_to), shown(line.counted_at),
             shown(line.posted_at) if line.posted_at else ""]
            for line in lines
        ],
    }  # fmt: skip


def _obstacles(lines: Iterable[counting.CountLine], why: dict[int, str], *, leads_to: UUID) -> dict[str, Any]:
    return {
        "headers": ["SKU", "name", "counted", "on record then", "difference", "why it cannot be posted"],
        "rows": [[*_figures(line, leads_to), why[line.product_id]] for line in lines],
    }


def _figures(line: counting.CountLine, leads_to: UUID | None) -> list[Any]:
    sku = link("inventory_count_quantity", leads_to, label=line.sku, product=line.product_id) if leads_to else line.sku
    variance = f"{line.variance:+,}" if line.variance else ""
    return [sku, line.name, f"{line.counted:,}", f"{line.book:,}", variance]
