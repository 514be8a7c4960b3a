"""Loading files in tests, through the same services as the command and the API."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from django.db import connections

from inventory import services as inventory
from inventory.imports import documents, staging, steps
from shop.toolkit.callers import SYSTEM, User
from shop.toolkit.db import transactions
from shop.toolkit.ids import new_id

_folder = TemporaryDirectory(prefix="shop-imports-")
LIMITS = staging.FileLimits(1 << 30, 1_000_000)


def file_of(content: str | bytes) -> Path:
    """Write a file that is gone with the process."""
    path = Path(_folder.name) / str(new_id())
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def staged_within(content: str | bytes, **request: object) -> inventory.StockImport:
    """Stage a file that says `content`, in the caller's transaction."""
    return staging.stage_import(
        staging.ImportRequest(**{"file_name": "levels.csv", **request}),
        import_id=new_id(),
        path=file_of(content),
        limits=LIMITS,
        caller=User(7),
    )


def staged(content: str | bytes, **request: object) -> inventory.StockImport:
    """Stage a file that says `content`."""
    return transactions.run(partial(staged_within, content, **request))


def finished(document: inventory.StockImport) -> inventory.StockImport:
    return inventory.finish_import(document.id, on_step=lambda _: None)


def loaded(content: str | bytes, **request: object) -> inventory.StockImport:
    return finished(staged(content, **request))


def undone(document: inventory.StockImport) -> inventory.StockImport:
    """Undo an import, and return the import that did it."""
    transactions.run(lambda: steps.undo_import(document.id, undo_id=new_id(), caller=User(7)))
    finished(document)
    undo_id = documents.get_import(document.id, caller=SYSTEM).undone_by
    assert undo_id is not None
    return documents.get_import(undo_id, caller=SYSTEM)


def errors(document: inventory.StockImport) -> list[str]:
    return [
        f"{row.line} {row.column} {row.value!r}: {row.detail}" for row in documents.refused_rows(document.id, limit=100)
    ]


def on_hand(product_id: int) -> dict[str, int]:
    return {stock.warehouse: stock.on_hand for stock in inventory.get_item(product_id, caller=SYSTEM).stocks}


def in_threads(work: Callable[[], object], *, times: int) -> list[object]:
    """Do `work` several times at once, each with a connection of its own."""

    def run() -> object:
        try:
            return work()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(times) as pool:
        return [future.result() for future in [pool.submit(run) for _ in range(times)]]
