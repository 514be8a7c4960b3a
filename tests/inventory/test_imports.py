"""`stage_import`, `advance_import`, `finish_import`, `undo_import`: stock from files, as safe as a bank transfer."""

import random
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta

import psycopg
import pytest
from django.conf import settings
from django.db import OperationalError, transaction
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from inventory import services as inventory
from inventory.imports import documents, sql_staging, staging, steps
from inventory.imports import sql as imports_sql
from inventory.reservations import availability
from inventory.stock import ledger, warehouses
from shop.toolkit.callers import SYSTEM
from shop.toolkit.db import transactions
from shop.toolkit.files.sheets import UnreadableFile
from shop.toolkit.ids import new_id
from tests import factories
from tests.conftest import counted_statements, environment, fetch
from tests.factories import sell
from tests.inventory.imports import (
    LIMITS,
    errors,
    file_of,
    finished,
    in_threads,
    loaded,
    on_hand,
    staged,
    staged_within,
    undone,
)
from tests.stock_rows import assert_books_are_right


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(steps, "CHUNK_ROWS", 3)
    monkeypatch.setattr(staging, "STAGED_AT_ONCE", 2)


def movements_of(document: inventory.StockImport) -> list[tuple]:
    return fetch(
        "SELECT product_id, on_hand_delta, on_hand, kind, reason, reference, note, actor_id FROM inventory_movement"
        " WHERE import_id = %s ORDER BY product_id, seq",
        document.id,
    )


def test_set_opens_changes_and_leaves_and_says_so(database):
    factories.warehouse("EAST")
    mug, pot, tray = factories.product(sku="MUG", stock=5), factories.product(sku="POT", stock=9), factories.product()

    done = loaded(
        "sku,warehouse,quantity,reason,note,reference\n"
        "MUG,MAIN,12,found,behind the shelf,R-1\nPOT,MAIN,9,,,\nMUG,EAST,4,,,\n"
        f"{tray.sku},MAIN,0,,,\nPOT,EAST,3,received,,\n",
        note="January",
    )

    assert (done.status, done.rows, done.new, done.changed, done.unchanged, done.refused) == ("applied", 5, 2, 1, 2, 0)
    assert done.warehouses == [documents.ImportUnits("EAST", 7, 0), documents.ImportUnits("MAIN", 7, 0)]
    assert done.largest[0] == documents.LargestChange(2, "MUG", "MAIN", 5, 12)
    assert on_hand(mug.id) == {"MAIN": 12, "EAST": 4}
    assert sorted(movements_of(done)) == [
        (mug.id, 4, 4, "adjust", "import", "", "January", 7),
        (mug.id, 7, 12, "adjust", "found", "R-1", "behind the shelf", 7),
        (pot.id, 3, 3, "receive", "received", "", "January", 7),
    ]
    assert fetch("SELECT count(*) FROM inventory_importrow") == [(0,)]
    assert_books_are_right()


def test_an_expected_quantity_is_a_compare_and_set(database):
    mug, pot = factories.product(sku="MUG", stock=5), factories.product(sku="POT", stock=9)
    text = "sku,quantity,expected_on_hand\nMUG,7,5\nPOT,8,10\n"

    refused = loaded(text)

    assert (refused.status, refused.refused) == ("refused", 1)
    assert errors(refused) == [
        "3 expected_on_hand '10': 9 are on hand now; look again at the quantity, and expect 9",
    ]
    assert (on_hand(mug.id), on_hand(pot.id)) == ({"MAIN": 5}, {"MAIN": 9})
    assert movements_of(refused) == []

    skipped = loaded(text, on_error="skip")

    assert (skipped.status, skipped.changed, skipped.refused) == ("applied", 1, 1)
    assert (on_hand(mug.id), on_hand(pot.id)) == ({"MAIN": 7}, {"MAIN": 9})
    assert_books_are_right()


def test_adjust_adds_row_after_row_each_with_its_reference(database):
    mug = factories.product(sku="MUG", stock=5)
    text = "sku,quantity,reference\nMUG,-4,A\nMUG,10,B\nMUG,-11,C\nMUG,-1,D\n"

    refused = loaded(text, mode="adjust")
    done = loaded(text, mode="adjust", on_error="skip")

    assert refused.status == "refused"
    assert errors(done) == ["5 quantity '-1': 1 would go of 0 on hand"]
    assert [row[1:3] for row in movements_of(done)] == [(-4, 1), (10, 11), (-11, 0)]
    assert on_hand(mug.id) == {"MAIN": 0}
    assert_books_are_right()


def test_count_posts_the_difference_to_the_book_so_that_sales_since_stay(database):
    mug, pot = factories.product(sku="MUG", stock=10), factories.product(sku="POT", stock=10)
    document = staged("sku,quantity,expected_on_hand\nMUG,8,10\nPOT,12,\n", mode="count")
    sell(mug.id, 3)

    done = finished(document)

    assert done.status == "applied"
    assert (on_hand(mug.id), on_hand(pot.id)) == ({"MAIN": 5}, {"MAIN": 12})
    assert {row[3:5] for row in movements_of(done)} == {("count", "count")}


NO_NUMBER = "a whole number is needed, such as 1200, without separators of thousands"
NO_LEVEL = "the number of units must be between 0 and 1,000,000,000"
BAD_ROWS = {
    "NONE,MAIN,1,,,,": "sku 'NONE': there is no product with the SKU NONE; create it first, or correct the SKU",
    ",MAIN,1,,,,": "sku '': the SKU is missing",
    "MUG,NOWHERE,1,,,,": "warehouse 'NOWHERE': there is no such warehouse; create it first, or use the code or name "
    "of another",
    "MUG,,1,,,,": "warehouse '': the warehouse is missing",
    "MUG,MAIN,,,,,": "quantity '': the number of units is missing",
    "MUG,MAIN,many,,,,": f"quantity 'many': {NO_NUMBER}",
    "MUG,MAIN,1.5,,,,": f"quantity '1.5': {NO_NUMBER}",
    'MUG,MAIN,"1,200",,,,': f"quantity '1,200': {NO_NUMBER}",
    "MUG,MAIN,-1,,,,": f"quantity '-1': {NO_LEVEL}",
    "MUG,MAIN,1000000001,,,,": f"quantity '1000000001': {NO_LEVEL}",
    "MUG,MAIN,99999999999999999999,,,,": f"quantity '99999999999999999999': {NO_NUMBER}",
    "MUG,MAIN,5,-1,,,": f"expected_on_hand '-1': {NO_LEVEL}",
    "MUG,MAIN,5,,whim,,": "reason 'whim': the reason must be one of received, damaged, lost, found, correction, "
    "return, count",
    f"MUG,MAIN,5,,,{'n' * 501},": f"note '{'n' * 200}...': the note may have at most 500 characters",
    f"MUG,MAIN,5,,,,{'r' * 101}": f"reference '{'r' * 101}': the reference may have at most 100 characters",
    "MUG,MAIN,5": "row '': the row has 3 cells where the header has 7; empty cells count as well",
    "MUG,MAIN,5,,,,,x": "row '': the row has 8 cells where the header has 7; empty cells count as well",
    "MUG,MAIN,3,,,,": "quantity '3': 7 would go, but of 10 on hand 4 are reserved, committed or unavailable; at most "
    "6 may",
}


@pytest.mark.parametrize("row", BAD_ROWS)
def test_a_row_that_cannot_be_right_is_named_and_nothing_is_written(database, row):
    mug, pot = factories.product(sku="MUG", stock=10), factories.product(sku="POT", stock=10)
    factories.reservation((mug.id, 4))
    header = "sku,warehouse,quantity,expected_on_hand,reason,note,reference\n"

    refused = loaded(f"{header}{row}\nPOT,MAIN,11,,,,\n")

    assert errors(refused) == [f"2 {BAD_ROWS[row]}"]
    assert (refused.status, refused.refused, refused.rows) == ("refused", 1, 2)
    assert (on_hand(mug.id), on_hand(pot.id)) == ({"MAIN": 10}, {"MAIN": 10})
    assert movements_of(refused) == []


def test_rows_that_contradict_each_other_are_all_refused_and_name_each_other(database):
    factories.product(sku="MUG", stock=10)
    factories.product(sku="POT", stock=10)

    same = loaded("sku,quantity\nMUG,1\nPOT,2\nMUG,3\n", on_error="skip")
    same_reference = loaded("sku,quantity,reference\nMUG,1,A\nMUG,2,B\nMUG,3,A\n", mode="adjust", on_error="skip")

    assert errors(same) == [
        "2 sku 'MUG': line 4 has the same SKU and warehouse; leave one of them, or sum them",
        "4 sku 'MUG': line 2 has the same SKU and warehouse; leave one of them, or sum them",
    ]
    assert [error.split(":")[0] for error in errors(same_reference)] == ["2 sku 'MUG'", "4 sku 'MUG'"]
    assert (same.changed, same_reference.changed) == (1, 1)


def test_one_stock_row_is_changed_a_hundred_times_at_most(database):
    mug = factories.product(sku="MUG", stock={})
    rows = "".join(f"MUG,1,{number}\n" for number in range(100))

    most = loaded(f"sku,quantity,reference\n{rows}", mode="adjust")
    more = loaded(f"sku,quantity,reference\n{rows}MUG,1,100\n", mode="adjust")

    assert (most.status, most.new, most.changed) == ("applied", 1, 99)
    assert (more.status, more.refused) == ("refused", 101)
    assert on_hand(mug.id) == {"MAIN": 100}


def test_the_same_file_is_refused_unless_it_is_meant(database):
    mug = factories.product(sku="MUG")
    text = "sku,quantity\nMUG,5\n"
    first = loaded(text, mode="adjust")

    with pytest.raises(inventory.AlreadyImported) as caught:
        staged(text, mode="adjust", file_name="another-name.csv")
    assert (caught.value.import_id, caught.value.status) == (first.id, "applied")
    assert loaded(text, mode="adjust", dry_run=True).changed == 1

    loaded(text, mode="adjust", again=True)
    assert on_hand(mug.id) == {"MAIN": 10}


def test_an_undone_or_refused_file_may_be_loaded_again(database):
    mug = factories.product(sku="MUG", stock=2)
    text = "sku,quantity,expected_on_hand\nMUG,5,3\n"
    assert loaded(text).status == "refused"
    loaded("sku,quantity\nMUG,3\n")

    first = loaded(text)
    undone(first)
    second = loaded(text)

    assert (first.status, second.status, on_hand(mug.id)) == ("applied", "applied", {"MAIN": 5})


@pytest.mark.alone
def test_of_many_who_load_one_file_at_once_one_does(database):
    mug = factories.product(sku="MUG")

    def load() -> str:
        try:
            return loaded("sku,quantity\nMUG,5\n", mode="adjust").status
        except inventory.AlreadyImported:
            return "already"

    outcomes = in_threads(load, times=6)

    assert sorted(outcomes) == ["already"] * 5 + ["applied"]
    assert on_hand(mug.id) == {"MAIN": 5}


def test_undo_takes_back_what_is_still_there_and_names_what_is_not(database):
    mug, pot, tray = (factories.product(sku=sku, stock=2) for sku in ("MUG", "POT", "TRAY"))
    done = loaded("sku,quantity\nMUG,10\nPOT,10\nTRAY,1\n")
    sell(mug.id, 9)

    undo = undone(done)

    assert (undo.status, undo.rows, undo.changed, undo.refused, undo.undoes) == ("applied", 3, 2, 1, done.id)
    assert errors(undo) == ["2 quantity '-8': 8 would go of 1 on hand"]
    assert [on_hand(product.id)["MAIN"] for product in (mug, pot, tray)] == [1, 2, 2]
    assert documents.get_import(done.id, caller=SYSTEM).status == "undone"
    assert_books_are_right()

    transactions.run(
        lambda: inventory.adjust(
            product_id=mug.id, warehouse="MAIN", delta=9, reason="return", note="", reference="", caller=SYSTEM
        )
    )
    again = undone(done)

    assert (again.id, again.changed, again.refused, on_hand(mug.id)) == (undo.id, 3, 0, {"MAIN": 2})
    assert undone(done) == again
    assert_books_are_right()


def test_only_what_was_applied_is_undone(database):
    factories.product(sku="MUG")
    refused = loaded("sku,quantity\nNONE,1\n")

    with pytest.raises(inventory.NotUndoable):
        steps.undo_import(refused.id, undo_id=new_id(), caller=SYSTEM)
    with pytest.raises(inventory.ImportNotFound):
        steps.undo_import(new_id(), undo_id=new_id(), caller=SYSTEM)


def test_chunks_make_no_difference_and_any_step_may_be_the_last_before_a_pause(database, small_chunks):
    products = [factories.product(sku=f"S{number}", stock=number) for number in range(10)]
    text = "sku,quantity\n" + "".join(f"S{number},{number * 2}\n" for number in range(10))
    document = staged(text)
    import_id, taken = document.id, 0
    while not document.is_finished:
        document = transactions.run(lambda: steps.advance_import(import_id))
        taken += 1

    assert taken == 1 + 4 + 1  # the check, the chunks, the end
    assert (document.rows, document.changed, document.unchanged) == (10, 9, 1)
    assert [on_hand(product.id)["MAIN"] for product in products] == [number * 2 for number in range(10)]
    assert transactions.run(lambda: steps.advance_import(import_id)) == document
    assert_books_are_right()


@pytest.mark.alone
def test_many_who_finish_one_import_apply_each_row_once(database, small_chunks):
    products = [factories.product(sku=f"S{number}", stock=1) for number in range(20)]
    document = staged("sku,quantity\n" + "".join(f"S{number},5\n" for number in range(20)), mode="adjust")

    outcomes = in_threads(lambda: finished(document), times=4)

    assert {outcome.status for outcome in outcomes} == {"applied"}
    assert documents.get_import(document.id, caller=SYSTEM).changed == 20
    assert [on_hand(product.id)["MAIN"] for product in products] == [6] * 20


def test_a_row_that_becomes_wrong_half_way_takes_the_whole_file_back(database, small_chunks):
    products = [factories.product(sku=f"S{number}", stock=10) for number in range(8)]
    document = staged("sku,quantity,expected_on_hand\n" + "".join(f"S{number},20,10\n" for number in range(8)))
    for _ in range(2):  # the check, and the first chunk
        transactions.run(lambda: steps.advance_import(document.id))
    assert on_hand(products[0].id) == {"MAIN": 20}
    sell(products[0].id, 15)
    sell(products[7].id, 1)

    done = finished(document)

    assert done.status == "aborted"
    assert errors(done) == ["9 expected_on_hand '10': 9 are on hand now; look again at the quantity, and expect 9"]
    assert [on_hand(product.id)["MAIN"] for product in products] == [5, 10, 10, 10, 10, 10, 10, 9]
    assert done.undone_by is not None
    assert (
        documents.get_import(done.undone_by, caller=SYSTEM).rows == 6
    )  # of the chunk with the wrong row nothing was written
    assert errors(documents.get_import(done.undone_by, caller=SYSTEM)) == ["2 quantity '-10': 10 would go of 5 on hand"]
    assert_books_are_right()


def test_a_dry_run_says_what_the_real_run_does_and_writes_nothing(database):
    chance = random.Random(5)
    factories.warehouse("EAST")
    for number in range(30):
        stock = {"MAIN": chance.randrange(20)} | ({"EAST": chance.randrange(20)} if number % 2 else {})
        product = factories.product(sku=f"S{number}", stock=stock)
        if inventory.get_item(product.id, caller=SYSTEM).available > 3:
            factories.reservation((product.id, 3))
    rows = [
        f"S{number},{place},{chance.randrange(12)},{chance.choice(['', 5])}"
        for number in range(33)
        for place in ("MAIN", "EAST")
    ]
    changes = [
        f"S{number},{place},{chance.randrange(-9, 9)},R{turn}"
        for turn in range(4)
        for number in range(33)
        for place in ("MAIN", "EAST")
    ]
    texts = {
        "set": ["sku,warehouse,quantity,expected_on_hand", *rows, ""],
        "count": ["sku,warehouse,quantity,expected_on_hand", *(row.replace(",5", ",0") for row in rows), ""],
        "adjust": ["sku,warehouse,quantity,reference", *changes, ""],
    }
    before = fetch("SELECT * FROM inventory_stock ORDER BY 1, 2")
    for mode, lines in texts.items():
        unstocked = [factories.product(sku=f"NEW-{mode}-{number}", stock={}).sku for number in range(5)]
        text = "\n".join([*lines[:-1], *(f"{sku},EAST,4," for sku in unstocked), ""])
        before = fetch("SELECT * FROM inventory_stock ORDER BY 1, 2")

        dry = loaded(text, mode=mode, on_error="skip", dry_run=True)
        assert (dry.status, fetch("SELECT * FROM inventory_stock ORDER BY 1, 2")) == ("checked", before)
        real = loaded(text, mode=mode, on_error="skip")

        assert dry.refused > 6
        assert dry.new > 3
        for name in ("rows", "new", "changed", "unchanged", "refused", "warehouses", "largest"):
            assert getattr(dry, name) == getattr(real, name), (mode, name)
        assert errors(dry) == errors(real)
        undone(real)
        before = fetch("SELECT * FROM inventory_stock ORDER BY 1, 2")
    assert_books_are_right()


@hypothesis_settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(0, 12), st.integers(0, 4), st.integers(0, 4), st.integers(0, 4), st.integers(0, 6), st.integers(-20, 20)
)
def test_a_row_is_judged_as_the_same_adjustment_by_hand(database, on, held, promised, apart, backorder, delta):
    product = factories.product(stock=on)

    def outcome(change) -> str:
        try:
            done = transactions.run(change)
        except (inventory.InsufficientStock, inventory.StockPromised):
            return "refused"
        return "done" if getattr(done, "refused", 0) == 0 else "refused"

    transactions.run(
        lambda: inventory.set_policy(
            product_id=product.id, warehouse="MAIN", changes={"backorder_limit": backorder}, caller=SYSTEM
        )
    )
    for units, confirms in ((held, False), (promised, True)):
        if units and availability.check([inventory.Demand(product.id, units)])[0].available:
            made = factories.reservation((product.id, units))
            if confirms:
                transactions.run(lambda found=made.id: inventory.confirm(found, owner="test", caller=SYSTEM))
    by_hand = {"product_id": product.id, "warehouse": "MAIN", "reason": "correction", "note": "", "reference": ""}
    if apart:
        outcome(lambda: ledger.set_apart(**by_hand, delta=apart, caller=SYSTEM))

    dry = loaded(f"sku,quantity\n{product.sku},{delta}\n", mode="adjust", dry_run=True, again=True)

    assert ("refused" if dry.refused else "done") == outcome(
        lambda: inventory.adjust(**by_hand, delta=delta, caller=SYSTEM)
    )


def test_statements_do_not_grow_with_the_file(database):
    for number in range(60):
        factories.product(sku=f"S{number}")
    counts = []
    for size in (2, 60):
        with counted_statements() as statements:
            loaded("sku,quantity\n" + "".join(f"S{number},{size}\n" for number in range(size)))
        counts.append(len(statements))
    assert counts[0] == counts[1]


def test_a_warehouse_is_named_by_code_or_name_and_may_be_left_out_when_there_is_one(database):
    mug = factories.product(sku="MUG")
    loaded("sku,quantity\nMUG,1\n")
    factories.warehouse("EAST")

    with pytest.raises(UnreadableFile, match="Choose one warehouse for all rows"):
        staged("sku,quantity\nMUG,2\n")
    with pytest.raises(inventory.WarehouseNotFound):
        staged("sku,quantity\nMUG,2\n", warehouse="NONE")
    loaded("sku,quantity\nMUG,2\n", warehouse="EAST")
    loaded("SKU,Warehouse,Quantity\nMUG,main warehouse,3\n")

    assert on_hand(mug.id) == {"MAIN": 3, "EAST": 2}


def test_the_refused_rows_are_a_file_of_the_same_layout_to_be_mended(database):
    mug = factories.product(sku="MUG")
    factories.product(sku="POT")
    refused = loaded("sku;quantity;note\nPOT;1;\nMUG;x;=1+1\n", on_error="skip")

    columns, rows = documents.refused_sheet(refused.id, caller=SYSTEM)
    (row,) = rows
    assert columns == ["sku", "quantity", "note", "error"]
    assert row[:3] == ["MUG", "x", "=1+1"]
    assert row[3].startswith("line 3, quantity 'x': a whole number is needed")

    mended = loaded(f"sku;quantity;note;error\nMUG;5;;{row[3]}\n", on_error="skip")
    assert (mended.status, on_hand(mug.id)) == ("applied", {"MAIN": 5})
    assert documents.refused_sheet(mended.id, caller=SYSTEM)[0] == columns


@pytest.mark.alone
def test_an_import_during_sales_loses_no_unit(database, small_chunks):
    products = [factories.product(sku=f"S{number}", stock=30) for number in range(6)]
    rows = [f"S{number},{delta},{turn}\n" for turn, delta in enumerate((7, -9, 4, -20)) for number in range(6)]
    document = staged("sku,quantity,reference\n" + "".join(rows), mode="adjust", on_error="skip")
    sold = Counter[int]()

    def buy() -> None:
        for turn in range(40):
            product = products[turn % 6]
            with suppress(inventory.InsufficientStock):
                sell(product.id, 2)
                sold[product.id] += 2

    with ThreadPoolExecutor(5) as pool:
        buyers = [pool.submit(in_threads, buy, times=1) for _ in range(4)]
        done = pool.submit(in_threads, lambda: finished(document), times=1).result()[0]
        for buyer in buyers:
            buyer.result()

    added = Counter[int]()
    for product_id, delta, *_ in movements_of(done):
        added[product_id] += delta
    assert done.changed + done.refused == 24
    assert sold.total() > 0
    for product in products:
        assert on_hand(product.id) == {"MAIN": 30 + added[product.id] - sold[product.id]}
    assert_books_are_right()


def test_a_row_that_becomes_wrong_before_the_first_chunk_leaves_nothing(database):
    mug, pot = factories.product(sku="MUG", stock=10), factories.product(sku="POT", stock=10)
    document = staged("sku,quantity,expected_on_hand\nMUG,20,10\nPOT,20,10\n")
    transactions.run(lambda: steps.advance_import(document.id))  # the check
    sell(pot.id, 1)

    done = finished(document)

    assert (done.status, done.changed, done.refused, done.undone_by) == ("refused", 0, 1, None)
    assert (on_hand(mug.id), on_hand(pot.id)) == ({"MAIN": 10}, {"MAIN": 9})


@pytest.mark.alone
def test_imports_that_open_the_same_stock_rows_at_once_all_count(database):
    products = [factories.product(sku=f"S{number}", stock={}) for number in range(300)]
    text = "sku,quantity\n" + "".join(f"S{number},1\n" for number in range(300))
    documents = [staged(text, mode="adjust", again=True) for _ in range(4)]
    for document in documents:
        transactions.run(lambda found=document.id: steps.advance_import(found))
    waiting = iter(documents)

    outcomes = in_threads(lambda: finished(next(waiting)), times=4)

    assert [outcome.done for outcome in outcomes] == [300] * 4
    assert sum(outcome.new for outcome in outcomes) == 300
    assert {tuple(on_hand(product.id).items()) for product in products} == {(("MAIN", 4),)}
    assert_books_are_right()


@pytest.mark.alone
def test_a_stock_row_that_comes_between_lock_and_merge_is_left_to_the_next_merge(database):
    """Judged unlocked, it may change before it is written; set to 8 must be 8 whatever came in between."""
    mug = factories.product(sku="MUG", stock={})
    document = staged("sku,quantity\nMUG,8\n")
    transactions.run(lambda: steps.advance_import(document.id))
    adjust = {"product_id": mug.id, "warehouse": "MAIN", "reason": "found", "note": "", "reference": ""}
    chunk, options = (
        imports_sql.Chunk(0, 2),
        {"mode": "set", "highest": 10**9, "skips": False, "note": "", "actor_id": None},
    )
    is_changed, may_commit = threading.Event(), threading.Event()

    def take_one_and_wait() -> None:
        inventory.adjust(**adjust, delta=-1, caller=SYSTEM)
        is_changed.set()
        may_commit.wait(5)

    with ThreadPoolExecutor(1) as pool, transaction.atomic():
        assert imports_sql.lock_chunk(document.id, chunk) == 1
        in_threads(lambda: transactions.run(lambda: inventory.adjust(**adjust, delta=5, caller=SYSTEM)), times=1)
        other = pool.submit(in_threads, lambda: transactions.run(take_one_and_wait), times=1)
        is_changed.wait(5)
        threading.Timer(0.3, may_commit.set).start()

        figures, refused = imports_sql.merge_chunk(document.id, chunk, **options)
        other.result()
        assert (figures.changed, figures.new, refused) == (0, 0, 0)
        assert imports_sql.lock_chunk(document.id, chunk) == 1
        figures, refused = imports_sql.merge_chunk(document.id, chunk, **options)
        assert (figures.changed, imports_sql.lock_chunk(document.id, chunk)) == (1, 0)
    assert on_hand(mug.id) == {"MAIN": 8}


@pytest.mark.alone
def test_a_warehouse_cannot_be_deleted_under_a_chunk(database):
    factories.warehouse("EAST")
    factories.product(sku="MUG")
    document = staged("sku,warehouse,quantity\nMUG,EAST,8\n")
    transactions.run(lambda: steps.advance_import(document.id))

    with transaction.atomic():
        transactions_done = imports_sql.lock_chunk(document.id, imports_sql.Chunk(0, 2))
        deleted = in_threads(refusal_of(lambda: warehouses.delete_warehouse("EAST", caller=SYSTEM)), times=1)[0]
    assert (transactions_done, type(deleted)) == (1, OperationalError)

    warehouses.delete_warehouse("EAST", caller=SYSTEM)
    done = finished(document)
    assert errors(done) == ["2 warehouse 'EAST': this warehouse has been deleted meanwhile"]


def refusal_of(work):
    def run() -> object:
        try:
            return transactions.run(work)
        except Exception as error:
            return error

    return run


def test_a_file_that_says_what_is_on_hand_is_no_list_of_changes(database):
    factories.product(sku="MUG", stock=5)
    with pytest.raises(UnreadableFile, match="Load it with the mode set or count"):
        staged("sku,quantity,expected_on_hand\nMUG,5,5\n", mode="adjust")


def test_warehouses_whose_codes_differ_by_case_are_two(database):
    for code in ("east", "EAST"):
        factories.warehouse(code)
    mug = factories.product(sku="MUG", stock={})

    done = loaded("sku,warehouse,quantity\nMUG,east,3\nMUG,EAST,4\nMUG,East,5\n", on_error="skip")

    assert on_hand(mug.id) == {"east": 3, "EAST": 4}
    assert errors(done) == ["4 warehouse 'East': several warehouses have this name; use the exact warehouse code"]


def test_a_warehouse_beside_a_column_of_them_is_a_contradiction(database):
    factories.product(sku="MUG")
    with pytest.raises(UnreadableFile, match="has a warehouse column"):
        staged("sku,warehouse,quantity\nMUG,MAIN,5\n", warehouse="MAIN")


def test_cells_that_are_too_many_are_refused_again_until_they_are_mended(database):
    mug = factories.product(sku="MUG", stock=7)
    columns, rows = documents.refused_sheet(loaded("sku,quantity\nMUG,1,200\n").id, caller=SYSTEM)
    (row,) = rows
    assert columns == ["sku", "quantity", "error"]
    assert (row[:2], row[3:]) == (["MUG", "1"], ["200"])
    assert loaded(",".join(columns) + "\n" + ",".join(f'"{cell}"' for cell in row) + "\n").status == "refused"
    assert on_hand(mug.id) == {"MAIN": 7}


@pytest.mark.alone
def test_the_same_file_that_somebody_is_still_reading_is_being_loaded(database):
    factories.product(sku="MUG")
    text = "sku,quantity\nMUG,5\n"
    with transaction.atomic():
        staging.stage_import(
            staging.ImportRequest(file_name="x"), import_id=new_id(), path=file_of(text), limits=LIMITS, caller=SYSTEM
        )
        (other,) = in_threads(refusal_of(lambda: staged_within(text)), times=1)
    assert isinstance(other, inventory.AlreadyImported)


def test_old_refused_rows_and_dry_runs_that_nobody_approved_are_forgotten(database):
    factories.product(sku="MUG", stock=5)
    refused = loaded("sku,quantity\nNONE,1\n")
    undo = undone_with_refusals()
    waiting = staged("sku,quantity\nMUG,8\n", dry_run=True, review=True)
    loaded("sku,quantity\nMUG,9\n", dry_run=True, review=True)
    now = timezone.now()
    assert inventory.clear_imports(now=now) == 0

    assert inventory.clear_imports(now=now + timedelta(days=2)) == 1
    assert inventory.clear_imports(now=now + timedelta(days=31)) == 1

    assert documents.get_import(refused.id, caller=SYSTEM).refused_rows == []
    assert len(documents.get_import(undo.id, caller=SYSTEM).refused_rows) == 1
    # However long the worker was away, a file that was taken is checked.
    assert finished(waiting).changed == 1


def undone_with_refusals() -> inventory.StockImport:
    pot = factories.product(sku="POT", stock=1)
    done = loaded("sku,quantity\nPOT,9\n")
    sell(pot.id, 5)
    return undone(done)


@pytest.mark.skipif(settings.POOLED_BY_TRANSACTION, reason="a pooler may give our connection to who is to end it")
def test_a_connection_that_is_lost_while_rows_are_copied_is_told_as_lost(database):
    """psycopg's own error would be taken for a crash, and not for a database that is away."""
    ((ours,),) = fetch("SELECT pg_backend_pid()")

    def rows() -> Iterator[tuple]:
        with psycopg.connect(environment()["DATABASE_URL"], autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s, 5000)", [ours])
        yield (1, None, None, None, None, "", "", "", "[]", "", "")

    with pytest.raises(OperationalError):
        sql_staging.copy_rows(new_id(), rows())
