"""The invariants of stock as queries; each returns the rows that violate it."""

from collections.abc import Mapping
from typing import Any

from django.db import connection

CHECKS: dict[str, tuple[str, str]] = {
    "quantities": (
        "A stock row has a quantity out of range, promises more than it may, or has more unavailable than on hand.",
        """
        SELECT product_id, warehouse_id, on_hand, reserved, committed, unavailable, backorder_limit FROM inventory_stock
         WHERE LEAST(on_hand, reserved, committed, unavailable, safety_stock, backorder_limit, reorder_point) < 0
            OR reserved::bigint + committed + unavailable > on_hand::bigint + backorder_limit
            OR unavailable > on_hand
        """,
    ),
    "one_row": (
        "An item has two stock rows in one warehouse.",
        """
        SELECT product_id, warehouse_id, count(*) FROM inventory_stock
         GROUP BY product_id, warehouse_id HAVING count(*) > 1
        """,
    ),
    "head": (
        "A stock row differs from the newest movement of its ledger.",
        """
        SELECT product_id, warehouse_id, s.seq, m.seq AS newest, s.on_hand, m.on_hand AS on_hand_by_ledger,
               s.reserved, m.reserved AS reserved_by_ledger, s.committed, m.committed AS committed_by_ledger,
               s.unavailable, m.unavailable AS unavailable_by_ledger
          FROM inventory_stock s
          FULL JOIN (
            SELECT DISTINCT ON (product_id, warehouse_id) * FROM inventory_movement
             ORDER BY product_id, warehouse_id, seq DESC
          ) m USING (product_id, warehouse_id)
         WHERE (s.seq, s.on_hand, s.reserved, s.committed, s.unavailable) IS DISTINCT FROM
               (COALESCE(m.seq, 0), COALESCE(m.on_hand, 0), COALESCE(m.reserved, 0), COALESCE(m.committed, 0),
                COALESCE(m.unavailable, 0))
        """,
    ),
    "chain": (
        "The ledger of a stock row has a gap, or a balance that is not the previous one plus the change.",
        """
        SELECT product_id, warehouse_id, seq, seq_before FROM (
            SELECT m.*, lag(seq, 1, 0::bigint) OVER row AS seq_before, lag(on_hand, 1, 0) OVER row AS on_hand_before,
                   lag(reserved, 1, 0) OVER row AS reserved_before, lag(committed, 1, 0) OVER row AS committed_before,
                   lag(unavailable, 1, 0) OVER row AS unavailable_before
              FROM inventory_movement m
            WINDOW row AS (PARTITION BY product_id, warehouse_id ORDER BY seq)
        ) m
         WHERE seq <> seq_before + 1
            OR (on_hand, reserved, committed, unavailable) <>
               (on_hand_before + on_hand_delta, reserved_before + reserved_delta,
                committed_before + committed_delta, unavailable_before + unavailable_delta)
        """,
    ),
    "claims": (
        "The reserved or committed units of a stock row differ from what open reservations claim.",
        """
        SELECT product_id, warehouse_id, COALESCE(s.reserved, 0) AS reserved, COALESCE(c.held, 0) AS held,
               COALESCE(s.committed, 0) AS committed, COALESCE(c.confirmed, 0) AS confirmed
          FROM inventory_stock s
          FULL JOIN (
            SELECT l.product_id, l.warehouse_id, sum(l.open) FILTER (WHERE r.state = 'held') AS held,
                   sum(l.open) FILTER (WHERE r.state = 'confirmed') AS confirmed
              FROM inventory_reservationline l JOIN inventory_reservation r ON r.id = l.reservation_id
             WHERE l.open > 0 GROUP BY l.product_id, l.warehouse_id
          ) c USING (product_id, warehouse_id)
         WHERE (COALESCE(s.reserved, 0), COALESCE(s.committed, 0)) <> (COALESCE(c.held, 0), COALESCE(c.confirmed, 0))
        """,
    ),
    "lines": (
        "A reservation line does not add up: open, fulfilled and released, or more was returned than shipped.",
        """
        SELECT reservation_id, product_id, warehouse_id, quantity, open, fulfilled, released, returned
          FROM inventory_reservationline
         WHERE quantity <> open + fulfilled + released OR LEAST(open, fulfilled, released, returned) < 0
            OR returned > fulfilled
        """,
    ),
    "endings": (
        "A reservation ended but claims units, claims none but has not ended, or ended without a time.",
        """
        SELECT r.id, r.reference, r.state, r.ended_at, COALESCE(l.open, 0) AS open
          FROM inventory_reservation r
          LEFT JOIN (
            SELECT reservation_id, sum(open) AS open FROM inventory_reservationline GROUP BY reservation_id
          ) l ON l.reservation_id = r.id
         WHERE (r.state IN ('held', 'confirmed')) IS DISTINCT FROM (COALESCE(l.open, 0) > 0)
            OR (r.state IN ('held', 'confirmed')) IS DISTINCT FROM (r.ended_at IS NULL)
        """,
    ),
    "references": (
        "A reference has two open reservations.",
        """
        SELECT reference, count(*) FROM inventory_reservation WHERE state IN ('held', 'confirmed')
         GROUP BY reference HAVING count(*) > 1
        """,
    ),
    "orphans": (
        "A reservation line, count line or stock row has no parent row.",
        """
        SELECT 'reservation line' AS what, l.reservation_id::text AS of, l.product_id
          FROM inventory_reservationline l LEFT JOIN inventory_reservation r ON r.id = l.reservation_id
         WHERE r.id IS NULL
         UNION ALL
        SELECT 'stock row', s.warehouse_id::text, s.product_id
          FROM inventory_stock s
          LEFT JOIN inventory_item i USING (product_id)
          LEFT JOIN inventory_warehouse w ON w.id = s.warehouse_id
         WHERE i.product_id IS NULL OR w.id IS NULL
         UNION ALL
        SELECT 'count line', l.count_id::text, l.product_id
          FROM inventory_countline l LEFT JOIN inventory_count c ON c.id = l.count_id WHERE c.id IS NULL
        """,
    ),
    "counts": (
        "A closed count has lines that are not posted.",
        """
        SELECT l.count_id, l.product_id, l.counted, l.book, c.closed_at
          FROM inventory_countline l JOIN inventory_count c ON c.id = l.count_id
         WHERE l.posted_at IS NULL AND c.closed_at IS NOT NULL AND NOT c.is_abandoned
        """,
    ),
    "imports": (
        "The units of an import differ from its movements, or a finished import has rows left.",
        """
        SELECT COALESCE(i.id, m.import_id) AS import_id, i.status, f.units_in, f.units_out,
               m.units_in AS in_by_ledger, m.units_out AS out_by_ledger, r.rows_left
          FROM inventory_stockimport i
          FULL JOIN (
            SELECT import_id, sum(GREATEST(on_hand_delta, 0)) AS units_in, -sum(LEAST(on_hand_delta, 0)) AS units_out
              FROM inventory_movement WHERE import_id IS NOT NULL GROUP BY import_id
          ) m ON m.import_id = i.id
          LEFT JOIN (
            SELECT stock_import_id, count(*) AS rows_left FROM inventory_importrow WHERE fault = '' GROUP BY 1
          ) r ON r.stock_import_id = i.id AND i.finished_at IS NOT NULL AND NOT i.is_dry_run
         CROSS JOIN LATERAL (
            SELECT COALESCE(sum((value ->> 0)::bigint), 0) AS units_in,
                   COALESCE(sum((value ->> 1)::bigint), 0) AS units_out
              FROM jsonb_each(i.by_warehouse)
         ) f
         WHERE i.id IS NULL OR r.rows_left > 0
            OR NOT i.is_dry_run
               AND (f.units_in, f.units_out) <> (COALESCE(m.units_in, 0), COALESCE(m.units_out, 0))
        """,
    ),
    "guard_triggers": (
        "A trigger that guards the ledger is missing, disabled or empty, or that of a foreign key is disabled.",
        """
        SELECT wanted.name, t.tgenabled
          FROM unnest(%s::text[]) AS wanted (name)
          LEFT JOIN pg_trigger t ON t.tgname = wanted.name
          LEFT JOIN pg_proc p ON p.oid = t.tgfoid
         WHERE t.tgenabled IS NULL OR p.prosrc NOT LIKE '%%RAISE EXCEPTION%%'
         UNION ALL
        SELECT tgname || ' on ' || tgrelid::regclass::text, tgenabled FROM pg_trigger
         WHERE tgrelid::regclass::text ~ %s AND tgenabled NOT IN ('O', 'A')
         UNION ALL
        SELECT 'session_replication_role', '-' WHERE current_setting('session_replication_role') <> 'origin'
        """,
    ),
    "guard_constraints": (
        "A constraint that guards stock is missing or not validated.",
        """
        SELECT wanted.name, c.convalidated FROM unnest(%s::text[]) AS wanted (name)
          LEFT JOIN pg_constraint c ON c.conname = wanted.name
          LEFT JOIN pg_class i ON i.relname = wanted.name AND i.relkind = 'i'
         WHERE NOT COALESCE(c.convalidated, i.oid IS NOT NULL)
        """,
    ),
    "guard_indexes": (
        "An index of the guarded tables is not valid.",
        """
        SELECT indexrelid::regclass::text FROM pg_index
         WHERE indrelid::regclass::text ~ %s AND NOT (indisvalid AND indisready)
        """,
    ),
    "guard_settings": (
        "The settings of the server allow it to lose committed transactions.",
        """
        SELECT name, setting FROM pg_settings
         WHERE (name IN ('fsync', 'full_page_writes') AND setting <> 'on')
            OR (name = 'synchronous_commit' AND setting = 'off')
        """,
    ),
}


def broken(check: str, *, guards: Mapping[str, list[Any]], limit: int) -> list[dict[str, Any]]:
    """Return up to `limit` rows that violate `check`. `guards` has the parameters of the checks that need some."""
    statement = CHECKS[check][1]
    with connection.cursor() as cursor:
        # Parameters are always passed, even an empty list: only then does %% mean a percent sign in every statement.
        cursor.execute(f"{statement} LIMIT {int(limit)}", guards.get(check, []))
        names = [column[0] for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor]
