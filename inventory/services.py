"""The public interface of inventory, and its only module that other apps may import."""

from inventory.counts.counting import CountClosed, CountLinePosted, CountNotFound, NotCounted, RecountNeeded
from inventory.imports.documents import (
    AlreadyImported,
    ImportNotFound,
    NotApprovable,
    NotUndoable,
    StockImport,
    clear_imports,
    unfinished_imports,
)
from inventory.imports.export import TooManyRows
from inventory.imports.steps import FINISH_IMPORT, ONE_IMPORT, finish_import
from inventory.insights.dashboard import sales, skus, stock_figures, stock_health
from inventory.insights.sql import Mover
from inventory.reservations.availability import shortages
from inventory.reservations.expiry import expire_due
from inventory.reservations.fulfillment import fulfill, take_back
from inventory.reservations.holds import (
    ExceedsOpen,
    Hold,
    HoldLimitReached,
    InvalidTransition,
    NotTheOwner,
    ReferenceInUse,
    confirm,
    lock_hold,
    release,
    reserve,
)
from inventory.reservations.listing import (
    Reservation,
    ReservationNotFound,
    expired_among,
    get_reservation,
    reservations,
)
from inventory.stock.allocation import Demand, InsufficientStock, Shortage
from inventory.stock.claims import StockPromised, explain
from inventory.stock.items import Item, ItemNotFound, Labels, SkuNotFound, get_item
from inventory.stock.ledger import (
    Level,
    LevelOutOfRange,
    PolicyChange,
    SameWarehouse,
    StaleQuantity,
    StockInUse,
    adjust,
    set_policy,
)
from inventory.stock.limits import MAX_LEVEL, MAX_LINES
from inventory.stock.provisioning import provision_item, provision_items, relabel_item, relabel_items
from inventory.stock.warehouses import (
    ScopeNotYours,
    StaleScope,
    WarehouseExists,
    WarehouseInUse,
    WarehouseNotFound,
    create_warehouse,
    get_warehouse,
    list_warehouses,
)
from inventory.verification.checks import Finding, Guarded, verify
