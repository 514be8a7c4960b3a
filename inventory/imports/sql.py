"""Statements that check the staged rows of an import, and merge them into the stock chunk by chunk."""

from collections.abc import Collection
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from inventory.imports.sql_staging import parsed
from inventory.stock.levels import free_sql
from inventory.stock.sql import is_correction

# The units of overdue holds. The merge finds them free, since it expires such holds first.
OVERDUE = """overdue AS MATERIALIZED (
    SELECT l.product_id, l.warehouse_id, sum(l.open)::bigint AS units
      FROM inventory_reservation h JOIN inventory_reservationline l ON l.reservation_id = h.id
     WHERE h.state = 'held' AND h.expires_at <= statement_timestamp() AND l.open > 0
     GROUP BY l.product_id, l.warehouse_id
)"""
JOIN_OVERDUE = "LEFT JOIN overdue o ON o.product_id = s.product_id AND o.warehouse_id = s.warehouse_id"
# How many movements back the ledger is searched for the moment at which a row was counted.
COUNT_MEMORY = 1000


def _judged(
    rows: str,
    *,
    overdue: str = "COALESCE(o.units, 0)",
    earlier: str = "0",
    is_first: str = "true",
    more: str = "",
) -> str:
    """Return the query that computes the change or the fault of each of `rows`.

    It applies the rules of `_refuse_impossible` in stock/ledger.py to a set: a loss must not exceed the free units, and
    no level may leave its range. `earlier` is the sum of changes to the same stock row by rows before this one,
    `overdue` the units of overdue holds on it.

    A count below the unavailable units lowers these in the same movement. Movements since the count are kept; but the
    row is refused if one of them was a correction, which may be about the same units.
    """
    return f"""
    SELECT r.line, r.product_id, r.warehouse_id, w.code, r.reason, r.reference, r.note,
           s.seq, s.product_id IS NULL AND {is_first} AS is_new, b.on_hand, b.delta, u.delta AS unavailable_delta,
           f.fault[1] AS fault_field, f.fault[2] AS fault{more}
      FROM {rows} r
      LEFT JOIN inventory_warehouse w ON w.id = r.warehouse_id
      LEFT JOIN inventory_stock s ON s.product_id = r.product_id AND s.warehouse_id = r.warehouse_id
      {JOIN_OVERDUE if overdue != "0" else ""}
     CROSS JOIN LATERAL (
        SELECT COALESCE(s.on_hand, 0)::bigint + {earlier} AS on_hand,
               COALESCE(s.unavailable, 0)::bigint AS unavailable,
               COALESCE(s.reserved::bigint + s.committed, 0) - {overdue} AS promised
     ) n
     CROSS JOIN LATERAL (
        SELECT n.on_hand, {free_sql("n")} AS free,
               CASE %(mode)s WHEN 'set' THEN r.quantity - n.on_hand
                             WHEN 'count' THEN r.quantity - COALESCE(r.expected_on_hand, n.on_hand)
                             ELSE r.quantity END AS delta
     ) b
     CROSS JOIN LATERAL (
        SELECT CASE WHEN %(mode)s = 'count' THEN LEAST(0, n.on_hand + b.delta - n.unavailable)
                    ELSE r.unavailable END AS delta
     ) u
      LEFT JOIN LATERAL (
        SELECT max(c.seq) AS seq FROM (
            SELECT c.seq FROM inventory_movement c
             WHERE %(mode)s = 'count' AND r.expected_on_hand <> b.on_hand AND c.on_hand = r.expected_on_hand
               AND c.product_id = s.product_id AND c.warehouse_id = s.warehouse_id AND c.seq > s.seq - {COUNT_MEMORY}
             UNION ALL SELECT 0 WHERE r.expected_on_hand = 0 AND COALESCE(s.seq, 0) <= {COUNT_MEMORY} -- at first
        ) c
     ) counted ON true
     CROSS JOIN LATERAL (
        SELECT CASE
            WHEN w.id IS NULL THEN ARRAY['warehouse', 'this warehouse has been deleted meanwhile']
            WHEN %(mode)s = 'set' AND r.expected_on_hand <> b.on_hand THEN ARRAY['expected_on_hand',
                 format('%%s are on hand now; look again at the quantity, and expect %%s', b.on_hand, b.on_hand)]
            WHEN b.on_hand + b.delta < 0 THEN ARRAY['quantity',
                 format('%%s would go of %%s on hand', -b.delta, b.on_hand)]
            WHEN b.on_hand + b.delta > %(highest)s THEN ARRAY['quantity',
                 format('%%s would be on hand; the most is %%s', b.on_hand + b.delta, %(highest)s::int)]
            WHEN u.delta - b.delta > b.free THEN ARRAY['quantity',
                 format('%%s would go, but of %%s on hand %%s are reserved, committed or unavailable; at most %%s may',
                        -b.delta, b.on_hand, n.promised + n.unavailable, b.free)]
            WHEN %(mode)s = 'count' AND b.delta <> 0 AND r.expected_on_hand <> b.on_hand AND counted.seq IS NULL
                THEN ARRAY['expected_on_hand',
                           format('the book did not say %%s lately; it says %%s', r.expected_on_hand, b.on_hand)]
            WHEN %(mode)s = 'count' AND b.delta <> 0 AND r.expected_on_hand <> b.on_hand AND EXISTS (
                SELECT FROM inventory_movement m
                 WHERE m.product_id = s.product_id AND m.warehouse_id = s.warehouse_id AND m.seq > counted.seq
                   AND {is_correction("m")})
                THEN ARRAY['quantity', 'the stock was corrected after this was counted; count it again']
            ELSE ARRAY['', ''] END AS fault
     ) f"""


# The results of a set of rows. A row that does not change the level of an existing stock row is "unchanged".
FIGURES = """
    count(*) FILTER (WHERE is_new) AS new, count(*) FILTER (WHERE NOT is_new AND delta <> 0) AS changed,
    count(*) FILTER (WHERE NOT is_new AND delta = 0) AS unchanged"""


def _figures(source: str) -> str:
    return f"""
SELECT {FIGURES},
       (SELECT jsonb_object_agg(code, jsonb_build_array(units_in, units_out)) FROM (
            SELECT code, COALESCE(sum(delta) FILTER (WHERE delta > 0), 0) AS units_in,
                   COALESCE(-sum(delta) FILTER (WHERE delta < 0), 0) AS units_out FROM {source} GROUP BY code) u),
       (SELECT jsonb_agg(to_jsonb(l)) FROM (
            SELECT c.line, i.sku, c.code AS warehouse, c.on_hand AS "from", c.on_hand + c.delta AS "to"
              FROM (SELECT * FROM {source} WHERE delta <> 0 ORDER BY abs(delta) DESC, line LIMIT %(largest)s) c
              JOIN inventory_item i USING (product_id) ORDER BY abs(c.delta) DESC, c.line) l)"""


class Figures(NamedTuple):
    """The results of a set of rows: numbers of rows, units in and out by warehouse, the largest changes."""

    new: int
    changed: int
    unchanged: int
    by_warehouse: dict[str, list[int]]
    largest: list[dict[str, Any]]


LARGEST = 20


# A statement that joins a judged row to its staged row takes the whole key from the judged row, including the import's
# id. Given that id as a parameter, the planner estimates the number of rows from the last statistics of the table. The
# estimate is often one row, and then all rows are read again for each judged row. Without the parameter it has no such
# estimate, and looks each row up by its key.
_KEY = ", r.stock_import_id"


def _check(judged: str) -> str:
    return f"""
WITH RECURSIVE {OVERDUE}, {judged}, marked AS (
    UPDATE inventory_importrow r SET fault_field = j.fault_field, fault = j.fault
      FROM judged j WHERE j.fault <> '' AND r.stock_import_id = j.stock_import_id AND r.line = j.line
), good AS (
    SELECT * FROM judged WHERE fault = ''
)
{_figures("good")} FROM good"""


_ALL_AT_ONCE = f"""judged AS MATERIALIZED ({_judged("inventory_importrow", more=_KEY)}
     WHERE r.stock_import_id = %(id)s AND r.fault = ''
)"""
_FIRST_OF_EACH = """(
        SELECT m.*, q.lines, 1 AS n FROM queue q
          JOIN inventory_importrow m ON m.stock_import_id = q.stock_import_id AND m.line = q.lines[1])"""
_NEXT_OF_EACH = """(
        SELECT m.*, b.lines, b.n + 1 AS n, b.so_far, b.is_open FROM judged b
          JOIN inventory_importrow m ON m.stock_import_id = b.stock_import_id AND m.line = b.lines[b.n + 1])"""
_FIRST = _judged(_FIRST_OF_EACH, more=f"{_KEY}, r.lines, r.n")
_NEXT = _judged(
    _NEXT_OF_EACH, earlier="r.so_far", is_first="NOT r.is_open", more=f"{_KEY}, r.lines, r.n, r.so_far, r.is_open"
)
# A file of changes may have several rows for one stock row. These are judged one after the other, as the merge does: a
# refused row has no effect on later ones. Each stock row carries the numbers of its lines, so that the next line is
# looked up by its key.
_ONE_AFTER_THE_OTHER = f"""queue AS MATERIALIZED (
    SELECT stock_import_id, array_agg(line ORDER BY line) AS lines FROM inventory_importrow
     WHERE stock_import_id = %(id)s AND fault = '' GROUP BY stock_import_id, product_id, warehouse_id
), judged AS (
    SELECT j.*, CASE WHEN j.fault = '' THEN j.delta ELSE 0 END AS so_far, j.is_new AND j.fault = '' AS is_open
      FROM ({_FIRST}) j
     UNION ALL
    SELECT j.line, j.product_id, j.warehouse_id, j.code, j.reason, j.reference, j.note, j.seq, j.is_new, j.on_hand,
           j.delta, j.unavailable_delta, j.fault_field, j.fault, j.stock_import_id, j.lines, j.n,
           j.so_far + CASE WHEN j.fault = '' THEN j.delta ELSE 0 END, j.is_open OR j.is_new AND j.fault = ''
      FROM ({_NEXT}) j
)"""

CHECK = {
    "set": _check(_ALL_AT_ONCE),
    "count": _check(_ALL_AT_ONCE),
    "adjust": _check(_ONE_AFTER_THE_OTHER),
}


def check_rows(import_id: UUID, *, mode: str, highest: int) -> Figures:
    """Refuse the rows that the current stock does not allow; return the results of the others. Locks nothing."""
    with connection.cursor() as cursor:
        parameters: dict[str, Any] = {"id": import_id, "mode": mode, "highest": highest, "largest": LARGEST}
        cursor.execute(CHECK[mode], parameters)
        return _read_figures(cursor.fetchone())


class Chunk(NamedTuple):
    """Consecutive rows of an import: those after the line `after`, up to `last_line`."""

    after: int
    last_line: int


NEXT_CHUNK = """
SELECT max(line) FROM (
    SELECT line FROM inventory_importrow WHERE stock_import_id = %s AND line > %s ORDER BY line LIMIT %s
) next
"""


def next_chunk(import_id: UUID, *, after: int, size: int) -> Chunk | None:
    """Return the next `size` rows of an import after the line `after`; None if there are none."""
    with connection.cursor() as cursor:
        cursor.execute(NEXT_CHUNK, [import_id, after, size])
        (last_line,) = cursor.fetchone()
    return None if last_line is None else Chunk(after, last_line)


CHUNK_PRODUCTS = """
SELECT DISTINCT product_id FROM inventory_importrow
 WHERE stock_import_id = %s AND line > %s AND line <= %s AND fault = ''
"""


def chunk_products(import_id: UUID, chunk: Chunk) -> list[int]:
    """Return the products of the rows of a chunk that are not applied yet."""
    with connection.cursor() as cursor:
        cursor.execute(CHUNK_PRODUCTS, [import_id, *chunk])
        return [product_id for (product_id,) in cursor]


# Locks the warehouses against deletion until the commit; before the stock rows, as everywhere.
LOCK_PLACES = """
SELECT id FROM inventory_warehouse
 WHERE id IN (SELECT warehouse_id FROM inventory_importrow WHERE stock_import_id = %s AND line > %s AND line <= %s)
 ORDER BY id FOR KEY SHARE
"""
# In key order, like every lock on stock. The merge creates missing rows.
LOCK_CHUNK = """
WITH chunk AS (
    SELECT product_id, warehouse_id FROM inventory_importrow
     WHERE stock_import_id = %s AND line > %s AND line <= %s AND fault = ''
), locked AS (
    SELECT s.product_id FROM inventory_stock s
     WHERE (s.product_id, s.warehouse_id) IN (
           SELECT product_id, warehouse_id FROM chunk
            UNION SELECT product_id, warehouse_id FROM inventory_reservationline
                   WHERE reservation_id = ANY(%s::uuid[]) AND open > 0)
     ORDER BY s.product_id, s.warehouse_id FOR NO KEY UPDATE OF s
)
SELECT count(*), (SELECT count(*) FROM locked) FROM chunk
"""


def lock_chunk(import_id: UUID, chunk: Chunk, *, claimed_by: Collection[UUID] = ()) -> int:
    """Lock the stock rows of a chunk, and those that the reservations `claimed_by` claim, together in key order.

    Returns how many rows of the chunk are not applied yet.
    """
    with connection.cursor() as cursor:
        cursor.execute(LOCK_PLACES, [import_id, *chunk])
        cursor.execute(LOCK_CHUNK, [import_id, *chunk, list(claimed_by)])
        rows, _ = cursor.fetchone()
    return int(rows)


# Together with POST_MOVEMENTS and RESERVE, the only statement that changes a quantity. It decides on locked rows, and
# writes stock and ledger at once. Each call takes one row for each stock row. If a row is refused and none may be, it
# writes nothing but the refusals.
MERGE = f"""
WITH next AS (
    SELECT DISTINCT ON (product_id, warehouse_id) * FROM inventory_importrow
     WHERE stock_import_id = %(id)s AND line > %(after)s AND line <= %(last_line)s AND fault = ''
     ORDER BY product_id, warehouse_id, line
), judged AS MATERIALIZED ({_judged("next", overdue="0", more=_KEY)}
), go AS (
    SELECT %(skips)s OR NOT EXISTS (SELECT FROM judged WHERE fault <> '') AS ok
), opened AS (
    INSERT INTO inventory_stock (product_id, warehouse_id, on_hand, seq, reserved, committed, unavailable,
                                 safety_stock, backorder_limit)
    SELECT product_id, warehouse_id, delta, (delta <> 0)::int, 0, 0, 0, 0, 0 FROM judged, go
     WHERE go.ok AND is_new AND fault = '' ORDER BY product_id, warehouse_id
        ON CONFLICT DO NOTHING -- somebody was first; locked, the row is the next call's
    RETURNING product_id, warehouse_id, seq, on_hand, reserved, committed, unavailable
), head AS (
    UPDATE inventory_stock s
       SET on_hand = s.on_hand + j.delta, unavailable = s.unavailable + j.unavailable_delta, seq = s.seq + 1
      FROM judged j, go
     WHERE go.ok AND NOT j.is_new AND j.fault = '' AND j.delta <> 0
       AND s.product_id = j.product_id AND s.warehouse_id = j.warehouse_id
       AND s.seq = j.seq -- a row that came after the lock may have been changed since it was judged: the next call's
    RETURNING s.product_id, s.warehouse_id, s.seq, s.on_hand, s.reserved, s.committed, s.unavailable
), moved AS (
    INSERT INTO inventory_movement
           (product_id, warehouse_id, seq, on_hand_delta, reserved_delta, committed_delta, unavailable_delta,
            on_hand, reserved, committed, unavailable, kind, reason, reference, note, actor_id, import_id, created_at)
    SELECT product_id, warehouse_id, h.seq, j.delta, 0, 0, j.unavailable_delta, h.on_hand, h.reserved, h.committed,
           h.unavailable,
           CASE WHEN %(mode)s = 'count' THEN 'count' WHEN j.reason = 'received' THEN 'receive' ELSE 'adjust' END,
           COALESCE(NULLIF(j.reason, ''), CASE %(mode)s WHEN 'count' THEN 'count' ELSE 'import' END),
           j.reference, COALESCE(NULLIF(j.note, ''), %(note)s), %(actor_id)s::bigint, %(id)s,
           (SELECT clock_timestamp())
      FROM (SELECT * FROM head UNION ALL SELECT * FROM opened WHERE seq > 0) h
      -- A full join is never a nested loop, which would go through a chunk again for each of its rows.
      FULL JOIN judged j USING (product_id, warehouse_id) WHERE COALESCE(h.seq, 0) > 0
), refused AS (
    UPDATE inventory_importrow r SET fault_field = j.fault_field, fault = j.fault
      FROM judged j WHERE j.fault <> '' AND r.stock_import_id = j.stock_import_id AND r.line = j.line
    RETURNING r.line
), done AS (
    DELETE FROM inventory_importrow r USING judged j, go
     WHERE go.ok AND j.fault = '' AND r.stock_import_id = j.stock_import_id AND r.line = j.line
       AND (j.delta = 0 AND NOT j.is_new
            OR (j.product_id, j.warehouse_id) IN (SELECT product_id, warehouse_id FROM opened)
            OR (j.product_id, j.warehouse_id) IN (SELECT product_id, warehouse_id FROM head))
    RETURNING j.*
)
{_figures("done")}, (SELECT count(*) FROM refused) FROM done
"""


def merge_chunk(
    import_id: UUID, chunk: Chunk, *, mode: str, highest: int, skips: bool, note: str, actor_id: int | None
) -> tuple[Figures, int]:
    """Apply one row for each stock row of the chunk; return the results and the number of refused rows.

    `highest` is the highest level allowed. Unless `skips`, one refused row keeps all others from being applied.
    """
    parameters: dict[str, Any] = {
        "id": import_id, "after": chunk.after, "last_line": chunk.last_line, "mode": mode,
        "highest": highest, "skips": skips,
        "note": note, "actor_id": actor_id, "largest": LARGEST,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(MERGE, parameters)
        *figures, refused = cursor.fetchone()
        return _read_figures(figures), refused


def _read_figures(row: Any) -> Figures:
    new, changed, unchanged, by_warehouse, largest = row
    return Figures(new, changed, unchanged, parsed(by_warehouse) or {}, parsed(largest) or [])
