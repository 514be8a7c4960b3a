"""Statements that fill, mark, read and empty the staging table."""

import csv
import json
from collections.abc import Collection, Iterable
from io import StringIO
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

FIND_SKUS = "SELECT sku_key, product_id FROM inventory_item WHERE sku_key = ANY(%s)"


def find_skus(keys: Collection[str]) -> dict[str, int]:
    """Return the product of each known SKU, by `sku_key`."""
    with connection.cursor() as cursor:
        cursor.execute(FIND_SKUS, [list(keys)])
        return dict(cursor.fetchall())


COPY_ROWS = """
COPY inventory_importrow (stock_import_id, line, product_id, warehouse_id, quantity, expected_on_hand,
    reason, reference, note, cells, fault_field, fault)
FROM STDIN (FORMAT csv, FORCE_NOT_NULL (reason, reference, note, cells, fault_field, fault))
"""


def copy_rows(import_id: UUID, rows: Iterable[tuple[Any, ...]]) -> None:
    """Copy rows into the staging table.

    A row has line, product_id, warehouse_id, quantity, expected_on_hand, reason, reference, note, cells, and the field
    and message of its fault.
    """
    text = StringIO()
    key = str(import_id)
    csv.writer(text).writerows((key, *row) for row in rows)
    # Django does not convert psycopg's errors in COPY to its own unless asked to.
    with connection.cursor() as cursor, connection.wrap_database_errors, cursor.copy(COPY_ROWS) as copy:
        copy.write(text.getvalue())


# Reading and checking a million rows takes longer than a request may last; neither locks stock.
LIFT_TIMEOUTS = "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = '60s'"
# No plan goes wrong without it (see _KEY in sql.py). But a planner that expects many rows joins them all at once,
# instead of looking each up, which makes a check of 200,000 rows a tenth to a third faster. It does not wait for locks.
ANALYZE_ROWS = "ANALYZE (SKIP_LOCKED) inventory_importrow"


def lift_timeouts() -> None:
    """Lift the statement timeout of this transaction, and let it be idle for up to a minute."""
    with connection.cursor() as cursor:
        cursor.execute(LIFT_TIMEOUTS)


def analyze_rows() -> None:
    """Update the planner's statistics of the staging table."""
    with connection.cursor() as cursor:
        cursor.execute(ANALYZE_ROWS)


# If two rows set the same quantity, nobody can tell which is right. Changes may repeat a stock row, each with another
# reference. MATERIALIZED hides the import's id from the planner; see _KEY in sql.py.
MARK_DUPLICATES = """
WITH twin AS MATERIALIZED (
    SELECT stock_import_id, line, count(*) OVER same AS rows, min(line) OVER same AS first, max(line) OVER same AS last
      FROM inventory_importrow WHERE stock_import_id = %(id)s AND fault = ''
    WINDOW same AS (PARTITION BY product_id, warehouse_id, CASE WHEN %(mode)s = 'adjust' THEN reference ELSE '' END)
)
UPDATE inventory_importrow r
   SET fault_field = 'sku',
       fault = format('line %%s has the same SKU and warehouse%%s; leave one of them, or sum them',
                      CASE WHEN r.line = t.first THEN t.last ELSE t.first END,
                      CASE WHEN %(mode)s = 'adjust' THEN ' with the same reference' ELSE '' END)
  FROM twin t WHERE t.rows > 1 AND r.stock_import_id = t.stock_import_id AND r.line = t.line
"""
# Changes of one stock row are merged one after the other, so their number is limited.
MAX_CHANGES_OF_A_ROW = 100
MARK_CROWDS = f"""
WITH crowd AS MATERIALIZED (
    SELECT stock_import_id, line, count(*) OVER (PARTITION BY product_id, warehouse_id) AS rows
      FROM inventory_importrow WHERE stock_import_id = %(id)s AND fault = ''
)
UPDATE inventory_importrow r
   SET fault_field = 'sku',
       fault = 'more than {MAX_CHANGES_OF_A_ROW} rows change this SKU in this warehouse; sum them'
  FROM crowd c WHERE c.rows > {MAX_CHANGES_OF_A_ROW} AND r.stock_import_id = c.stock_import_id AND r.line = c.line
"""


def refuse_conflicts(import_id: UUID, *, mode: str) -> None:
    """Refuse rows that contradict each other, and too many changes of one stock row."""
    parameters: dict[str, Any] = {"id": import_id, "mode": mode}
    with connection.cursor() as cursor:
        cursor.execute(MARK_DUPLICATES, parameters)
        if mode == "adjust":
            cursor.execute(MARK_CROWDS, parameters)


COUNT_REFUSED = "SELECT count(*) FROM inventory_importrow WHERE stock_import_id = %s AND fault <> ''"


def count_refused(import_id: UUID) -> int:
    """Return the number of refused rows."""
    with connection.cursor() as cursor:
        cursor.execute(COUNT_REFUSED, [import_id])
        (refused,) = cursor.fetchone()
    return int(refused)


def parsed(document: Any) -> Any:
    # Django turns off JSON parsing in the driver, since its own fields do it.
    return json.loads(document) if isinstance(document, str) else document


DROP_ROWS = "DELETE FROM inventory_importrow WHERE stock_import_id = %s AND fault = ''"


def drop_rows(import_id: UUID) -> None:
    """Delete the rows that will not be applied; refused ones stay for download."""
    with connection.cursor() as cursor:
        cursor.execute(DROP_ROWS, [import_id])


# The rows that reverse an import, one for each stock row.
STAGE_UNDO = """
INSERT INTO inventory_importrow (stock_import_id, line, product_id, warehouse_id, quantity, unavailable, reason,
                                 reference, note, cells, fault_field, fault)
SELECT %(undo_id)s, row_number() OVER (ORDER BY m.product_id, m.warehouse_id) + 1, m.product_id, m.warehouse_id,
       m.quantity, m.unavailable, '', '', '', jsonb_build_array(i.sku, w.code, m.quantity::text)::text, '', ''
  FROM (
    SELECT product_id, warehouse_id, -sum(on_hand_delta)::int AS quantity, -sum(unavailable_delta)::int AS unavailable
      FROM inventory_movement
     WHERE import_id = %(id)s GROUP BY product_id, warehouse_id HAVING sum(on_hand_delta) <> 0
  ) m
  JOIN inventory_item i USING (product_id)
  JOIN inventory_warehouse w ON w.id = m.warehouse_id
"""


def stage_undo(import_id: UUID, *, undo_id: UUID) -> int:
    """Stage the rows that reverse an import; return how many."""
    with connection.cursor() as cursor:
        parameters: dict[str, Any] = {"id": import_id, "undo_id": undo_id}
        cursor.execute(STAGE_UNDO, parameters)
        return int(cursor.rowcount)


RETRY_REFUSED = """
UPDATE inventory_importrow SET fault = '', fault_field = '' WHERE stock_import_id = %s AND product_id IS NOT NULL
"""


def retry_refused(import_id: UUID) -> None:
    """Clear the faults of refused rows, so that they are checked again."""
    with connection.cursor() as cursor:
        cursor.execute(RETRY_REFUSED, [import_id])


class RefusedRow(NamedTuple):
    """A row that was refused."""

    line: int
    cells: list[str]
    fault_field: str
    fault: str


LIST_REFUSED = """
SELECT line, cells, fault_field, fault FROM inventory_importrow
 WHERE stock_import_id = %s AND fault <> '' AND line > %s ORDER BY line LIMIT %s
"""


def list_refused(import_id: UUID, *, after: int, limit: int) -> list[RefusedRow]:
    """Return the refused rows after the line `after`."""
    with connection.cursor() as cursor:
        cursor.execute(LIST_REFUSED, [import_id, after, limit])
        return [RefusedRow(line, json.loads(cells), field, fault) for line, cells, field, fault in cursor]
