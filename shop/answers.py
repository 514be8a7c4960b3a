"""The one table that turns exceptions into HTTP answers."""

import logging
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.core.exceptions import SuspiciousOperation
from django.db import IntegrityError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from rest_framework import exceptions
from rest_framework_simplejwt.exceptions import InvalidToken

from inventory import services as inventory
from orders import services as orders
from products import services as products
from shop.toolkit import refusals
from shop.toolkit.db import transactions
from shop.toolkit.files import sheets
from shop.toolkit.http import idempotency, problems
from shop.toolkit.http.parsers import PayloadTooLarge
from shop.toolkit.http.problems import bad_request, problem
from shop.toolkit.http.uploads import UploadTooLarge
from users import services as users

logger = logging.getLogger(__name__)

RETRY_AFTER_SECONDS = "1"
STOCK_GUARDS = ("inventory_never_oversold", "inventory_unavailable_is_on_hand")
# Connection exceptions, shutdowns, an idle transaction ended by the server, a primary that has become a standby.
GONE = ("08", "57P0", "25P03", "25006")


@dataclass(frozen=True)
class Answer:
    """Status, code and title of a refusal, and how its facts become members of the problem, and header fields."""

    status: int
    code: str
    title: str
    members: Callable[[Any], Mapping[str, Any]] = lambda refusal: {}
    headers: Callable[[Any], dict[str, str]] = lambda refusal: {}


def _field(name: str, code: str) -> Callable[[Any], Mapping[str, Any]]:
    return lambda refusal: {"errors": [{"field": name, "code": code, "detail": str(refusal)}]}


REFUSALS: dict[type[refusals.Refusal], Answer] = {
    refusals.InvalidCursor: Answer(400, "invalid", "Invalid request", _field("cursor", "invalid_cursor")),
    idempotency.InvalidKey: Answer(400, "invalid", "Invalid request", _field(idempotency.HEADER, "invalid_key")),
    idempotency.InProgress: Answer(409, "request_in_progress", "Request in progress"),
    idempotency.KeyReused: Answer(422, "idempotency_key_reused", "Idempotency key reused"),
    users.UserNotFound: Answer(404, "user_not_found", "User not found"),
    users.OwnAccess: Answer(403, "permission_denied", "Permission denied"),
    users.NotSuperuser: Answer(403, "permission_denied", "Permission denied"),
    users.EmailExists: Answer(409, "email_exists", "Email exists"),
    users.InvalidEmail: Answer(400, "invalid", "Invalid request", _field("email", "invalid")),
    users.WeakPassword: Answer(
        400,
        "invalid",
        "Invalid request",
        lambda refusal: {
            "errors": [{"field": "password", "code": "weak_password", "detail": said} for said in refusal.messages]
        },
    ),
    users.InvalidCredentials: Answer(401, "invalid_credentials", "Invalid credentials"),
    users.OtpRequired: Answer(401, "otp_required", "Code required"),
    users.HashingBusy: Answer(503, "busy", "Busy", headers=lambda refusal: {"Retry-After": str(refusal.retry_after)}),
    users.TooManyAttempts: Answer(
        429, "throttled", "Too many requests", headers=lambda refusal: {"Retry-After": str(refusal.retry_after)}
    ),
    users.InvalidResetToken: Answer(400, "invalid", "Invalid request", _field("token", "invalid_token")),
    users.InvalidEmailToken: Answer(400, "invalid", "Invalid request", _field("token", "invalid_token")),
    users.SessionEnded: Answer(401, "invalid_token", "Invalid token"),
    products.ProductNotFound: Answer(
        404, "product_not_found", "Product not found", lambda refusal: {"product_ids": refusal.product_ids}
    ),
    products.SkuExists: Answer(409, "sku_exists", "SKU exists", lambda refusal: {"sku": refusal.sku}),
    products.InvalidSku: Answer(400, "invalid", "Invalid request", _field("sku", "invalid_sku")),
    products.PriceNotPayable: Answer(400, "invalid", "Invalid request", _field("price", "too_many_decimals")),
    inventory.ItemNotFound: Answer(
        404, "item_not_found", "Inventory item not found", lambda refusal: {"product_ids": refusal.product_ids}
    ),
    inventory.WarehouseNotFound: Answer(
        404, "warehouse_not_found", "Warehouse not found", lambda refusal: {"warehouses": refusal.codes}
    ),
    inventory.SkuNotFound: Answer(404, "item_not_found", "Inventory item not found"),
    inventory.ScopeNotYours: Answer(403, "permission_denied", "Permission denied"),
    inventory.StaleScope: Answer(
        409, "invalid_transition", "Scope changed", lambda refusal: {"current_status": ", ".join(refusal.current)}
    ),
    inventory.WarehouseExists: Answer(409, "warehouse_exists", "Warehouse exists"),
    inventory.WarehouseInUse: Answer(409, "warehouse_in_use", "Warehouse in use"),
    inventory.ReservationNotFound: Answer(404, "reservation_not_found", "Reservation not found"),
    inventory.NotTheOwner: Answer(
        409, "reservation_owned", "Reservation owned", lambda refusal: {"owner": refusal.owner}
    ),
    inventory.ReferenceInUse: Answer(409, "reference_in_use", "Reference in use"),
    inventory.InsufficientStock: Answer(
        409,
        "insufficient_stock",
        "Insufficient stock",
        lambda refusal: {"shortages": [asdict(shortage) for shortage in refusal.shortages]},
    ),
    inventory.InvalidTransition: Answer(
        409, "invalid_transition", "Invalid transition", lambda refusal: {"current_status": refusal.current_status}
    ),
    inventory.ExceedsOpen: Answer(
        409,
        "invalid_transition",
        "Invalid transition",
        lambda refusal: {
            "current_status": refusal.current_status,
            "shortages": [asdict(shortage) for shortage in refusal.shortages],
        },
    ),
    inventory.HoldLimitReached: Answer(409, "hold_limit_reached", "Hold limit reached"),
    inventory.StaleQuantity: Answer(
        409, "stale_quantity", "Stale quantity", lambda refusal: {"current": refusal.current}
    ),
    inventory.StockInUse: Answer(409, "stock_in_use", "Stock in use"),
    inventory.StockPromised: Answer(
        409,
        "stock_promised",
        "Stock promised",
        lambda refusal: {"promises": [asdict(promise) for promise in refusal.promises]},
    ),
    inventory.SameWarehouse: Answer(400, "invalid", "Invalid request", _field("to_warehouse", "same_warehouse")),
    inventory.CountNotFound: Answer(404, "not_found", "Count not found"),
    inventory.NotCounted: Answer(404, "not_found", "Count line not found"),
    inventory.CountLinePosted: Answer(
        409, "invalid_transition", "Count line posted", lambda refusal: {"current_status": "posted"}
    ),
    inventory.RecountNeeded: Answer(
        409, "invalid_transition", "Recount needed", lambda refusal: {"current_status": "corrected"}
    ),
    inventory.CountClosed: Answer(
        409, "invalid_transition", "Count closed", lambda refusal: {"current_status": "closed"}
    ),
    sheets.UnreadableFile: Answer(400, "invalid", "Invalid request", _field("file", "unreadable")),
    inventory.AlreadyImported: Answer(
        409,
        "already_imported",
        "Already imported",
        lambda refusal: {"import_id": refusal.import_id, "current_status": refusal.status},
    ),
    inventory.ImportNotFound: Answer(404, "not_found", "Import not found"),
    inventory.NotApprovable: Answer(
        409, "invalid_transition", "Invalid transition", lambda refusal: {"current_status": refusal.current_status}
    ),
    inventory.NotUndoable: Answer(
        409, "invalid_transition", "Invalid transition", lambda refusal: {"current_status": refusal.current_status}
    ),
    inventory.TooManyRows: Answer(400, "invalid", "Invalid request", _field("", "too_many_rows")),
    inventory.LevelOutOfRange: Answer(400, "invalid", "Invalid request", _field("quantity", "out_of_range")),
    orders.OrderNotFound: Answer(404, "order_not_found", "Order not found"),
    orders.PriceChanged: Answer(
        409,
        "price_changed",
        "Price changed",
        lambda refusal: {
            "price_changes": [
                {
                    "product_id": change.product_id,
                    "expected": format(change.expected, "f"),
                    "actual": None if change.actual is None else format(change.actual, "f"),
                    "currency": change.currency,
                }
                for change in refusal.price_changes
            ],
            "shortages": [asdict(shortage) for shortage in refusal.shortages],
        },
    ),
    orders.MixedCurrencies: Answer(400, "invalid", "Invalid request", _field("items", "mixed_currencies")),
    orders.HoldLimitReached: Answer(
        409,
        "hold_limit_reached",
        "Hold limit reached",
        lambda refusal: {"limit": refusal.limit, "held": refusal.held},
    ),
    orders.InvalidTransition: Answer(
        409, "invalid_transition", "Invalid transition", lambda refusal: {"current_status": refusal.current_status}
    ),
}

# What REST framework raises: code and title by the class, the status is its own.
FRAMEWORK: dict[type[Exception], tuple[str, str]] = {
    exceptions.ParseError: ("malformed_json", "Malformed JSON"),
    exceptions.NotAuthenticated: ("not_authenticated", "Not authenticated"),
    InvalidToken: ("invalid_token", "Invalid token"),
    exceptions.AuthenticationFailed: ("invalid_token", "Invalid token"),
    exceptions.PermissionDenied: ("permission_denied", "Permission denied"),
    exceptions.NotFound: ("not_found", "Not found"),
    exceptions.MethodNotAllowed: ("method_not_allowed", "Method not allowed"),
    exceptions.NotAcceptable: ("not_acceptable", "Not acceptable"),
    exceptions.UnsupportedMediaType: ("unsupported_media_type", "Unsupported media type"),
    exceptions.Throttled: ("throttled", "Too many requests"),
    UploadTooLarge: ("payload_too_large", "Payload too large"),
    PayloadTooLarge: ("payload_too_large", "Payload too large"),
}


def answer(exception: Exception, context: Mapping[str, Any]) -> HttpResponse | None:
    """Turn an exception of a view into a problem; None for a bug, which becomes a 500 and a log entry."""
    if isinstance(exception, refusals.Refusal):
        return _refusal(exception)
    if isinstance(exception, exceptions.ValidationError):
        return _invalid(exception)
    if isinstance(exception, SuspiciousOperation):
        return bad_request(context["request"], exception)
    if isinstance(exception, Http404):
        exception = exceptions.NotFound()
    elif isinstance(exception, DjangoPermissionDenied):
        exception = exceptions.PermissionDenied()
    if isinstance(exception, exceptions.APIException):
        return _framework(exception)
    return _database(exception)


def crash(request: HttpRequest) -> HttpResponse:
    """Answer what was raised outside of the API's views and caught by nobody: by the database, or by a bug."""
    # Django calls its handler while it handles the exception, which it does not hand over.
    error = sys.exception()
    return (_database(error) if isinstance(error, Exception) else None) or problems.crash()


def _refusal(refusal: refusals.Refusal) -> HttpResponse:
    found = REFUSALS[type(refusal)]
    headers = {"WWW-Authenticate": "Bearer"} if found.status == 401 else found.headers(refusal)
    return problem(found.status, found.code, found.title, str(refusal), members=found.members(refusal), headers=headers)


def _invalid(error: exceptions.ValidationError) -> HttpResponse:
    errors = list(_field_errors(error.detail, ()))
    detail = "; ".join(f"{found['field'] or 'body'}: {found['detail']}" for found in errors[:3])
    return problem(400, "invalid", "Invalid request", detail, members={"errors": errors})


def _field_errors(detail: Any, path: tuple[str, ...]) -> Any:
    """Flatten REST framework's nested errors into one entry a fault, with the path of its field."""
    if isinstance(detail, Mapping):
        for name, inner in detail.items():
            yield from _field_errors(inner, path if name == "non_field_errors" else (*path, str(name)))
    elif isinstance(detail, list) and any(isinstance(inner, Mapping | list) for inner in detail):
        for index, inner in enumerate(detail):
            yield from _field_errors(inner, (*path, str(index)))
    elif isinstance(detail, list):
        for inner in detail:
            yield {"field": ".".join(path), "code": inner.code, "detail": str(inner)}


def _framework(error: exceptions.APIException) -> HttpResponse | None:
    found = next((FRAMEWORK[kind] for kind in type(error).__mro__ if kind in FRAMEWORK), None)
    if found is None:
        return None
    headers = {}
    if challenge := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    if wait := getattr(error, "wait", None):
        headers["Retry-After"] = str(math.ceil(wait))
    code, title = found
    detail = error.detail.get("detail") if isinstance(error.detail, dict) else error.detail
    # The class's own status: where no token is asked for, REST framework would turn a 401 into a 403.
    return problem(type(error).status_code, code, title, str(detail), headers=headers)


def _database(error: Exception) -> HttpResponse | None:
    headers = {"Retry-After": RETRY_AFTER_SECONDS}
    state = transactions.sqlstate(error)
    if state in transactions.BUSY:
        return problem(503, "stock_busy", "Stock busy", "These items are busy. Retry in a second.", headers=headers)
    if isinstance(error, IntegrityError) and (guard := transactions.violated_constraint(error)) in STOCK_GUARDS:
        # The statement's own guard should have refused this; the constraint saved us, and somebody must look.
        logger.error("The constraint %s refused what the code let through", guard, exc_info=error)
        return problem(
            409, "insufficient_stock", "Insufficient stock", "There is not enough stock.", members={"shortages": []}
        )
    is_gone = isinstance(error, OperationalError | InterfaceError | transactions.NotCommitted)
    if is_gone or (state or "").startswith(GONE):
        logger.error("The database is unavailable", exc_info=error)
        detail = (
            "The database is unavailable or its reply was lost. The request may have succeeded: check before you "
            "retry, or retry with the same Idempotency-Key."
        )
        return problem(503, "database_unavailable", "Database unavailable", detail, headers=headers)
    return None
