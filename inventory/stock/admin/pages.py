"""Admin pages that change the stock of one item. Each has one form and makes one service call."""

import json
from functools import cached_property
from typing import Any

from django import forms
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from inventory.stock import allocation, claims, history, items, ledger, models, scopes
from inventory.stock.limits import MAX_NOTE, MAX_REFERENCE
from inventory.stock.scopes import within
from inventory.stock.vocabulary import Reason
from shop.toolkit.callers import User
from shop.toolkit.days import shown
from shop.toolkit.ids import new_id
from shop.toolkit.plurals import counted
from shop.toolkit.refusals import Refusal
from shop.toolkit.staff.admin import ServicePage, actors

MAX_UNITS = 1_000_000


class WarehouseField(forms.ChoiceField):
    """A choice of the caller's warehouses, by priority."""

    widget = UnfoldAdminSelectWidget

    def offer_to(self, caller: User) -> None:
        """Offer the caller's warehouses, and an empty choice if the field is optional."""
        rows = models.Warehouse.objects.filter(within(scopes.scope_of(caller), "id")).order_by("priority", "id")
        found = [(row.code, f"{row.code} {row.name}".strip()) for row in rows]
        self.choices = found if self.required else [("", "As in the file"), *found]


class WarehousesPage(ServicePage):
    """A page that offers the caller's warehouses in every WarehouseField of its form."""

    def get_form(self, form_class: Any = None) -> Any:
        form = super().get_form(form_class)
        for field in form.fields.values():
            if isinstance(field, WarehouseField):
                field.offer_to(self.caller)
        return form


def _units_field(label: str, lowest: int, **options: Any) -> forms.IntegerField:
    return forms.IntegerField(
        label=label, min_value=lowest, max_value=MAX_UNITS, widget=UnfoldAdminIntegerFieldWidget, **options
    )


def _reason_field(initial: str) -> forms.ChoiceField:
    choices = [(reason, reason) for reason in Reason.MANUAL]
    return forms.ChoiceField(label="Reason", choices=choices, initial=initial, widget=UnfoldAdminSelectWidget)


class _NoteForm(forms.Form):
    note = forms.CharField(label="Note", max_length=MAX_NOTE, required=False, widget=UnfoldAdminTextInputWidget)
    reference = forms.CharField(
        label="Reference",
        max_length=MAX_REFERENCE,
        required=False,
        help_text="For example the number of a delivery note or a ticket.",
        widget=UnfoldAdminTextInputWidget,
    )


class ReceiveForm(_NoteForm):
    field_order = ("warehouse", "quantity")
    warehouse = WarehouseField(label="Warehouse")
    quantity = _units_field("Units received", 1)


class AdjustForm(_NoteForm):
    field_order = ("warehouse", "delta", "reason")
    warehouse = WarehouseField(label="Warehouse")
    delta = _units_field("Units to add", -MAX_UNITS, help_text="Use a negative number to remove units.")
    reason = _reason_field("correction")

    def clean_delta(self) -> int:
        delta: int = self.cleaned_data["delta"]
        if delta == 0:
            raise forms.ValidationError("Enter a number other than 0.")
        return delta


class SetForm(_NoteForm):
    """A compare-and-set in one warehouse.

    `expected_on_hand` is prefilled with the units of the warehouse `expected_for`. A script refills both when another
    warehouse is chosen. Without scripts, the form is shown again with the units of that warehouse.
    """

    field_order = ("warehouse", "quantity", "expected_on_hand", "reason")
    warehouse = WarehouseField(label="Warehouse")
    quantity = _units_field("Units on hand", 0)
    expected_for = forms.CharField(max_length=32, widget=forms.HiddenInput({"autocomplete": "off"}))
    expected_on_hand = _units_field(
        "Expected units on hand", 0, help_text="The number you saw. If it has changed, nothing is set."
    )
    reason = _reason_field("correction")

    def __init__(self, *args: Any, levels: dict[str, int], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.levels = levels
        self.fields["expected_on_hand"].widget.attrs["data-levels"] = json.dumps(levels)

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        warehouse, filled_in_for = given.get("warehouse"), given.pop("expected_for", None)
        if warehouse is None or filled_in_for is None or filled_in_for == warehouse:
            return given
        on_hand = self.levels.get(warehouse, 0)
        typed = {name: self.data.get(name, "") for name in self.fields}
        self.data = {**typed, "expected_for": warehouse, "expected_on_hand": str(on_hand)}
        raise forms.ValidationError(
            f"The expected units were those of {filled_in_for}; {warehouse} has {on_hand:,} on hand. "
            "Nothing was set: check the numbers and submit again."
        )


class WriteOffForm(_NoteForm):
    field_order = ("warehouse", "quantity", "reason")
    warehouse = WarehouseField(label="Warehouse")
    quantity = _units_field("Units to write off", 1)
    reason = _reason_field("damaged")


class SetApartForm(_NoteForm):
    field_order = ("warehouse", "what", "quantity", "reason")
    warehouse = WarehouseField(label="Warehouse")
    what = forms.ChoiceField(
        label="What to do",
        choices=[
            ("aside", "Set aside: not for sale"),
            ("back", "Put back: for sale again"),
        ],
        widget=UnfoldAdminRadioSelectWidget,
    )
    quantity = _units_field("Units", 1)
    reason = _reason_field("damaged")


class DiscardForm(_NoteForm):
    field_order = ("warehouse", "quantity", "reason")
    warehouse = WarehouseField(label="Warehouse")
    quantity = _units_field("Unavailable units to discard", 1)
    reason = _reason_field("damaged")


class TransferForm(forms.Form):
    from_warehouse = WarehouseField(label="From")
    to_warehouse = WarehouseField(label="To")
    quantity = _units_field("Units", 1)
    note = forms.CharField(label="Note", max_length=MAX_NOTE, required=False, widget=UnfoldAdminTextInputWidget)


class _StockPage(WarehousesPage):
    permission_required = ("inventory.view_item", "inventory.change_stock")

    @property
    def product_id(self) -> int:
        product_id: int = self.row.pk
        return product_id

    def explain(self, refusal: Refusal) -> str:
        if isinstance(refusal, claims.StockPromised):
            promised = ", ".join(f"{promise.quantity} for {promise.reference}" for promise in refusal.promises[:5])
            return f"{refusal} Claimed by: {promised}."
        return str(refusal)


class ReceivePage(_StockPage):
    form_class = ReceiveForm
    slug, label, icon = "receive", "Receive", "add"

    def act(self, given: dict[str, Any]) -> str:
        level = ledger.Level(given.pop("warehouse"), given.pop("quantity"))
        ledger.receive(product_id=self.product_id, levels=[level], caller=self.caller, **given)
        return f"Received {counted(level.quantity, 'unit')} of {self.row} into {level.warehouse}."


class AdjustPage(_StockPage):
    form_class = AdjustForm
    slug, label, icon = "adjust", "Adjust", "exposure"

    def act(self, given: dict[str, Any]) -> str:
        movement = ledger.adjust(product_id=self.product_id, caller=self.caller, **given)
        done = f"Adjusted {self.row} in {given['warehouse']} by {given['delta']:+,} ({given['reason']})"
        return f"{done}: {movement.on_hand:,} on hand."


class WriteOffPage(_StockPage):
    form_class = WriteOffForm
    slug, label, icon = "write-off", "Write off", "delete"

    def act(self, given: dict[str, Any]) -> str:
        quantity = given.pop("quantity")
        movement = ledger.adjust(product_id=self.product_id, delta=-quantity, caller=self.caller, **given)
        done = f"Wrote off {counted(quantity, 'unit')} of {self.row} in {given['warehouse']} ({given['reason']})"
        return f"{done}: {movement.on_hand:,} on hand."


class _UnavailablePage(_StockPage):
    """A page that changes unavailable units. It shows the current ones by warehouse."""

    template_name = "inventory/unavailable.html"

    def get_initial(self) -> dict[str, Any]:
        return {"reason": "damaged"}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        stocks = items.get_item(self.product_id, caller=self.caller).stocks
        levels = {
            "headers": ["warehouse", "on hand", "unavailable", "available"],
            "rows": [[stock.warehouse, stock.on_hand, stock.unavailable, stock.available] for stock in stocks],
        }
        return super().get_context_data(levels=levels, **kwargs)


class SetApartPage(_UnavailablePage):
    form_class = SetApartForm
    slug, label, icon, submit = "set-apart", "Set aside or put back", "inventory", "Save"

    def act(self, given: dict[str, Any]) -> str:
        quantity, is_aside = given.pop("quantity"), given.pop("what") == "aside"
        delta = quantity if is_aside else -quantity
        movement = ledger.set_apart(product_id=self.product_id, delta=delta, caller=self.caller, **given)
        done = f"{'Set aside' if is_aside else 'Put back'} {counted(quantity, 'unit')} of {self.row}"
        levels = f"{movement.on_hand:,} on hand, {movement.unavailable:,} of them unavailable"
        return f"{done} in {given['warehouse']} ({given['reason']}): {levels}."


class DiscardPage(_UnavailablePage):
    form_class = DiscardForm
    slug, label, icon = "discard", "Discard", "delete_forever"

    def act(self, given: dict[str, Any]) -> str:
        movement = ledger.discard(product_id=self.product_id, caller=self.caller, **given)
        done = f"Discarded {counted(given['quantity'], 'unit')} of {self.row}"
        levels = f"{movement.on_hand:,} on hand, {movement.unavailable:,} of them unavailable"
        return f"{done} in {given['warehouse']} ({given['reason']}): {levels}."


class TransferPage(_StockPage):
    form_class = TransferForm
    slug, label, icon = "transfer", "Transfer", "swap_horiz"

    def act(self, given: dict[str, Any]) -> str:
        quantity = given.pop("quantity")
        demand = [allocation.Demand(self.product_id, quantity)]
        ledger.transfer(transfer_id=new_id(), items=demand, caller=self.caller, **given)
        moved = f"{counted(quantity, 'unit')} of {self.row}"
        return f"Moved {moved} from {given['from_warehouse']} to {given['to_warehouse']}."


class SetPage(_StockPage):
    form_class = SetForm
    slug, label, icon = "set", "Set", "edit"

    template_name = "inventory/set.html"

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "levels": self.levels}

    @cached_property
    def levels(self) -> dict[str, int]:
        """Units on hand by warehouse code, for warehouses with a stock row."""
        stocks = items.get_item(self.product_id, caller=self.caller).stocks
        return {stock.warehouse: stock.on_hand for stock in stocks}

    def get_form(self, form_class: Any = None) -> Any:
        form = super().get_form(form_class)
        offered = [code for code, _ in form.fields["warehouse"].choices]
        first = next(iter([*self.levels, *offered]), "")
        form.initial |= {"warehouse": first, "expected_for": first, "expected_on_hand": self.levels.get(first, 0)}
        return form

    def act(self, given: dict[str, Any]) -> str:
        movement = ledger.set_on_hand(product_id=self.product_id, caller=self.caller, **given)
        change = f"{given['reason']}, {movement.on_hand_delta:+,}"
        return f"Set {self.row} in {given['warehouse']} to {movement.on_hand:,} on hand ({change})."

    def explain(self, refusal: Refusal) -> str:
        if not isinstance(refusal, ledger.StaleQuantity):
            return super().explain(refusal)
        warehouse = self.request.POST["warehouse"]
        last = history.last_change(self.product_id, warehouse=warehouse, caller=self.caller)
        if last is None:
            return str(refusal)
        by = "".join(f" by {name}" for name in actors([last.actor_id]).values())
        when = shown(last.created_at, "%H:%M %Z")
        return f"{refusal} Last change: {last.kind} ({last.on_hand_delta:+,}){by} at {when}."
