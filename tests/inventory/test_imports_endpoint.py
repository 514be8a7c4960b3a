"""POST and GET `/inventory/imports`, `/{id}`, `/{id}/errors`, `/{id}/undo`."""

import csv
import gzip
import io
from contextlib import closing
from uuid import uuid4

import httpx
import pytest
from django.contrib.auth.models import Permission
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command

from inventory import services as inventory
from inventory.imports import documents, steps
from inventory.stock import ledger
from shop.toolkit.callers import SYSTEM
from shop.toolkit.db import transactions
from tests import factories
from tests.conftest import counted_statements, fetch
from tests.inventory.imports import finished, on_hand
from tests.inventory.malformed import MALFORMED, workbook
from tests.inventory.uploads import TEXT, URL, form_of, upload
from tests.stock_rows import assert_books_are_right
from users import models as user_models


@pytest.fixture
def mug(database):
    return factories.product(sku="MUG", stock=2)


def test_a_small_file_is_loaded_at_once(staff, mug):
    response = upload(staff)

    document = response.json()
    assert response.status_code == 201
    assert (document["status"], document["changed"], document["done"], document["refused_rows"]) == (
        "applied",
        1,
        1,
        [],
    )
    assert document["warehouses"] == [{"warehouse": "MAIN", "units_in": 3, "units_out": 0}]
    assert document["largest"] == [{"line": 2, "sku": "MUG", "warehouse": "MAIN", "before": 2, "after": 5}]
    assert on_hand(mug.id) == {"MAIN": 5}
    assert staff.get(f"{URL}/{document['id']}").json() == document
    assert staff.get(URL).json()["results"] == [document]
    movement = staff.get(f"/api/v1/inventory/items/{mug.id}/movements").json()["results"][0]
    assert (movement["import_id"], movement["reason"]) == (document["id"], "import")
    assert movement["actor_id"] == document["actor_id"] is not None


def test_a_large_one_is_accepted_and_finished_by_whoever_finishes_imports(staff, mug, monkeypatch):
    monkeypatch.setattr(steps, "CHUNK_ROWS", 1)
    factories.product(sku="POT")

    response = upload(staff, "sku,quantity\nMUG,5\nPOT,6\n")
    waiting = response.json()
    assert (response.status_code, waiting["status"], waiting["done"], waiting["finished_at"]) == (
        202,
        "staged",
        0,
        None,
    )
    assert on_hand(mug.id) == {"MAIN": 2}
    assert fetch("SELECT task_name, args->>'import_id' FROM procrastinate_jobs") == [("finish_import", waiting["id"])]

    finished(documents.get_import(inventory.unfinished_imports()[0], caller=SYSTEM))
    assert staff.get(f"{URL}/{waiting['id']}").json()["status"] == "applied"

    undoing = staff.post(f"{URL}/{waiting['id']}/undo")
    assert (undoing.status_code, undoing.json()["status"]) == (202, "undoing")
    finished(documents.get_import(inventory.unfinished_imports()[0], caller=SYSTEM))
    assert on_hand(mug.id) == {"MAIN": 2}


def test_a_dry_run_writes_nothing(staff, mug):
    document = upload(staff, dry_run="true").json()
    assert (document["status"], document["dry_run"], document["changed"]) == ("checked", True, 1)
    assert on_hand(mug.id) == {"MAIN": 2}


def test_a_large_dry_run_is_accepted_and_finished_by_the_worker(staff, mug, monkeypatch):
    monkeypatch.setattr(steps, "CHUNK_ROWS", 1)
    text, key = "sku,quantity\nMUG,5\nNONE,6\n", {"idempotency-key": str(uuid4())}

    response = upload(staff, text, dry_run="true", headers=key)
    again = upload(staff, text, dry_run="true", headers=key)
    waiting = response.json()
    assert (response.status_code, waiting["status"], waiting["dry_run"], waiting["finished_at"]) == (
        202, "staged", True, None,
    )  # fmt: skip
    assert (again.content, again.headers["Idempotent-Replayed"]) == (response.content, "true")
    assert fetch("SELECT task_name, args->>'import_id' FROM procrastinate_jobs") == [("finish_import", waiting["id"])]

    call_command("work", "--once")

    checked = staff.get(f"{URL}/{waiting['id']}").json()
    assert (checked["status"], checked["changed"], checked["refused"]) == ("checked", 1, 1)
    assert checked["refused_rows"][0]["value"] == "NONE"
    assert on_hand(mug.id) == {"MAIN": 2}
    assert upload(staff, "sku,quantity\nMUG,5\n", dry_run="true").status_code == 201  # one chunk


def test_refused_rows_are_in_the_answer_and_a_file(staff, mug):
    document = upload(staff, "sku;quantity;note\nMUG;5;\nNONE;1;=cmd\n").json()

    assert (document["status"], document["refused"]) == ("refused", 1)
    (row,) = document["refused_rows"]
    assert (row["line"], row["column"], row["value"]) == (3, "sku", "NONE")
    response = staff.get(f"{URL}/{document['id']}/errors", headers={"accept": "text/csv"})
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert "attachment" in response.headers["Content-Disposition"]
    header, line = csv.reader(io.StringIO(b"".join(response.streaming_content).decode()))
    assert header == ["sku", "quantity", "note", "error"]
    assert line[:3] == ["NONE", "1", "'=cmd"]
    assert on_hand(mug.id) == {"MAIN": 2}


def test_undo_takes_it_back(staff, mug):
    document = upload(staff).json()

    undone = staff.post(f"{URL}/{document['id']}/undo")

    assert (undone.status_code, undone.json()["status"]) == (200, "undone")
    assert staff.get(f"{URL}/{undone.json()['undone_by']}").json()["undoes"] == document["id"]
    assert on_hand(mug.id) == {"MAIN": 2}
    assert_books_are_right()


def test_the_same_file_twice_is_a_409_that_names_the_first(staff, mug):
    document = upload(staff).json()
    response = upload(staff)
    assert response.status_code == 409
    assert response.json()["code"] == "already_imported"
    assert response.json()["import_id"] == document["id"]
    assert upload(staff, again="true").status_code == 201


def test_an_idempotency_key_gives_the_same_import_once(staff, mug):
    key = {"idempotency-key": str(uuid4())}
    text = "sku,quantity\nMUG,5\n"

    first = upload(staff, text, mode="adjust", headers=key)
    again = upload(staff, text, mode="adjust", headers=key)
    other = upload(staff, "sku,quantity\nMUG,6\n", mode="adjust", headers=key)

    assert (first.status_code, again.status_code, other.status_code) == (201, 201, 422)
    assert again.content == first.content
    assert again.headers["Idempotent-Replayed"] == "true"
    assert on_hand(mug.id) == {"MAIN": 7}


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"mode": "replace"}, "mode"),
        ({"on_error": "ignore"}, "on_error"),
        ({"dry_run": "yes"}, "dry_run"),
        ({"again": ""}, "again"),
        ({"map": "sku"}, "map"),
        ({"map": '["sku"]'}, "map"),
        ({"map": '{"sku": 1}'}, "map"),
        ({"map": "[" * 9000}, "map"),
        ({"map": '{"a": "sku", "a": "quantity"}'}, "map"),
        ({"note": "n" * 501}, "note"),
        ({"note": "a\0b"}, "note"),
        ({"color": "red"}, "color"),
    ],
)
def test_wrong_fields_are_named(staff, mug, fields, field):
    response = upload(staff, **fields)
    assert response.status_code == 400, response.json()
    assert [error["field"] for error in response.json()["errors"]] == [field]
    assert on_hand(mug.id) == {"MAIN": 2}


def test_a_request_without_a_file_or_with_two_or_of_another_kind_is_refused(staff, mug):
    form = form_of(staff)
    assert form.post(URL, {"mode": "set"}).json()["errors"][0]["field"] == "file"
    assert form.post(URL, {"file": "text"}).json()["errors"][0]["field"] == "file"
    two = [SimpleUploadedFile("a.csv", TEXT.encode()), SimpleUploadedFile("b.csv", TEXT.encode())]
    assert form.post(URL, {"file": two}).json()["errors"][0]["code"] == "repeated"
    assert form.post(URL, {"file": SimpleUploadedFile("a.csv", b"")}).status_code == 400
    assert staff.post(URL, {"file": "levels.csv"}).status_code == 415
    broken = form.generic("POST", URL, b"--x\r\nno form", content_type="multipart/form-data")
    assert (broken.status_code, broken.json()["errors"][0]["code"]) == (400, "malformed_form")


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_files_are_a_400_or_refused_rows_and_never_a_500(staff, mug, name):
    content, expected = MALFORMED[name]
    if not content:
        return
    response = upload(staff, content)

    document = response.json()
    assert response.status_code in (400, 201)
    if response.status_code == 201:
        assert document["status"] == "refused"
    else:
        assert [error["field"] for error in document["errors"]] == ["file"]
        assert "unpacks" in expected or expected in document["detail"]
    assert on_hand(mug.id) == {"MAIN": 2}


def test_names_of_files_are_names_and_never_paths(staff, mug):
    document = upload(staff, name="../../etc/levels.csv").json()
    assert document["file_name"] == "levels.csv"


def test_workbooks_and_gzip_are_read(staff, mug):
    assert upload(staff, workbook(), name="levels.xlsx").json()["understood_as"].startswith("XLSX, first sheet")
    assert upload(staff, gzip.compress(b"sku,quantity\nMUG,9\n"), name="levels.csv.gz").json()["changed"] == 1
    assert on_hand(mug.id) == {"MAIN": 9}


def test_an_upload_over_the_limit_is_a_413_before_it_is_read(staff, mug, settings):
    settings.MAX_UPLOAD_BYTES = 1000
    response = upload(staff, TEXT + "x" * 2000)
    assert (response.status_code, response.json()["code"]) == (413, "payload_too_large")
    response = upload(staff, gzip.compress(TEXT.encode() + b"MUG,5\n" * 20_000))
    assert "unpacks to more than 10,000 bytes" in response.json()["detail"]


def test_over_real_http_a_large_upload_is_refused_and_the_server_lives(server):
    token = factories.access_token(factories.user(is_staff=True, is_superuser=True))
    headers = {"authorization": f"Bearer {token}"}
    factories.product(sku="MUG")

    with httpx.Client(base_url=server, headers=headers, timeout=30) as client:
        large = client.post(URL, files={"file": ("levels.csv", bytes(21 << 20))})
        small = client.post(URL, files={"file": ("levels.csv", TEXT)}, data={"mode": "adjust"})

    assert (large.status_code, large.json()["code"]) == (413, "payload_too_large")
    assert (small.status_code, small.json()["status"]) == (201, "applied")


def test_who_may_load_and_undo(api, customer, staff, mug):
    document = upload(staff).json()
    paths = (URL, f"{URL}/{document['id']}", f"{URL}/{document['id']}/errors")
    account = factories.user(is_staff=True, group="Inventory viewer")
    clerk = factories.client(account)

    for client, status in ((api, 401), (customer, 403)):
        assert {client.get(path).status_code for path in paths} == {status}
        assert upload(client, "sku,quantity\nMUG,9\n").status_code == status
        assert client.post(f"{URL}/{document['id']}/undo").status_code == status
    for path in paths:
        with closing(clerk.get(path)) as response:
            assert response.status_code == 200
    assert upload(clerk, "sku,quantity\nMUG,9\n").status_code == 403
    assert clerk.post(f"{URL}/{document['id']}/undo").status_code == 403

    row = user_models.User.objects.get(pk=account.id)
    row.user_permissions.set(Permission.objects.filter(codename__in=["add_stockimport", "undo_stockimport"]))
    assert upload(clerk, "sku,quantity\nMUG,9\n").status_code == 201
    assert clerk.post(f"{URL}/{document['id']}/undo").status_code == 200


def test_what_is_not_there_or_not_undoable(staff, mug):
    unknown = f"{URL}/{uuid4()}"
    assert {staff.get(unknown).status_code, staff.get(f"{unknown}/errors").status_code} == {404}
    assert staff.post(f"{unknown}/undo").status_code == 404
    refused = upload(staff, "sku,quantity\nNONE,1\n").json()
    response = staff.post(f"{URL}/{refused['id']}/undo")
    assert (response.status_code, response.json()["code"]) == (409, "invalid_transition")
    assert response.json()["current_status"] == "refused"
    assert fetch("SELECT count(*) FROM inventory_stockimport") == [(1,)]


def test_a_form_that_was_cut_off_is_refused_whole(staff, mug):
    """Django takes a form whose end is missing; the options behind the file would be missing with it."""
    form = form_of(staff)
    end = b'\r\n--x\r\nContent-Disposition: form-data; name="dry_run"\r\n\r\ntrue\r\n--x--\r\n'
    whole = (
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="levels.csv"\r\n'
        b"Content-Type: text/csv\r\n\r\n" + TEXT.encode() + end
    )
    kind = "multipart/form-data; boundary=x"
    for missing in (0, 1, 2, 4, 6, 10, 30, len(end) - 2, len(end) - 8):
        response = form.generic("POST", URL, whole[: len(whole) - missing], content_type=kind)
        if missing < 4:  # the line end behind the last boundary is no part of the form
            assert response.json()["status"] == "checked"
        else:
            assert response.status_code == 400, missing
    assert on_hand(mug.id) == {"MAIN": 2}


@pytest.mark.parametrize("charset", ["idna", "utf-7", "latin-1", "rot13"])
def test_text_is_taken_in_utf_8_only(staff, mug, charset):
    kind = f"multipart/form-data; boundary=x; charset={charset}"
    response = form_of(staff).generic("POST", URL, b"--x--", content_type=kind)
    assert response.status_code in (400, 415)
    assert on_hand(mug.id) == {"MAIN": 2}


def test_a_list_takes_as_many_statements_for_many_imports_as_for_one(staff, mug):
    counts = []
    for more in (1, 12):
        for number in range(more):
            upload(staff, f"sku,quantity\nNONE,{number + more}\n")
        with counted_statements() as statements:
            assert len(staff.get(URL).json()["results"]) >= more
        counts.append(len(statements))
    assert counts[0] == counts[1]


def test_an_undo_cannot_be_undone_and_a_retry_does_not_mind_the_file_being_loaded_again(staff, mug):
    first = upload(staff).json()
    transactions.run(lambda: ledger.sell(product_id=mug.id, quantity=4, note="", reference="", caller=SYSTEM))
    undo_id = staff.post(f"{URL}/{first['id']}/undo").json()["undone_by"]
    refused = staff.post(f"{URL}/{undo_id}/undo")
    assert (refused.status_code, refused.json()["code"]) == (409, "invalid_transition")
    assert upload(staff).status_code == 201  # MUG is 5 again

    assert staff.post(f"{URL}/{first['id']}/undo").json()["status"] == "undone"

    assert on_hand(mug.id) == {"MAIN": 2}
    assert_books_are_right()


def test_an_export_of_a_warehouse_that_is_not_there_is_a_404(staff, mug):
    response = staff.get("/api/v1/inventory/exports/stock.csv?warehouse=main")
    assert (response.status_code, response.json()["code"]) == (404, "warehouse_not_found")


def test_a_length_that_is_no_number_is_no_crash(staff, mug):
    for told in ("abc", "-1", "1e9", "\u0665"):
        response = form_of(staff).generic(
            "POST", URL, b"--x--", CONTENT_LENGTH=told, content_type="multipart/form-data"
        )
        assert response.status_code == 400
