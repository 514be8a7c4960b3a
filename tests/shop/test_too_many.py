"""More parameters, fields, files or bytes than Django takes: every door says so, and logs nothing."""

from urllib.parse import urlencode

import httpx
import pytest
from django.conf import settings
from django.test import Client

from benchmarks import production_server
from tests import factories
from tests.conftest import environment
from users import models as user_models

MANY = {f"p{number}": "1" for number in range(2000)}
QUERY = urlencode(MANY)
FORM = {"headers": {"content-type": "application/x-www-form-urlencoded"}}
FILE = ("levels.csv", b"sku,quantity\nMUG,1\n", "text/csv")
LONG = "x" * (settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
IMPORTS, ORDERS, LOGIN = "/api/v1/inventory/imports", "/api/v1/orders", "/admin/login/"
FIELDS, FILES, BYTES = "too_many_fields", "too_many_files", "payload_too_large"


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    return tmp_path_factory.mktemp("served") / "log"


@pytest.fixture(scope="module")
def base(_database, log):
    with production_server(workers=1, threads=2, log=log, DATABASE_URL=environment()["DATABASE_URL"]) as address:
        yield address


@pytest.fixture
def staff_member(base, database) -> httpx.Client:
    """Somebody who may do everything, with a token and with the cookie of the staff's pages."""
    account = factories.user(is_staff=True, is_superuser=True)
    browser = Client()
    browser.force_login(user_models.User.objects.get(pk=account.id))
    # Without the second cookie a form is refused before it is read.
    cookies = {"sessionid": browser.cookies["sessionid"].value, "csrftoken": "c" * 32}
    headers = {"authorization": f"Bearer {factories.access_token(account)}"}
    with httpx.Client(base_url=base, headers=headers, cookies=cookies) as client:
        yield client


@pytest.fixture
def nobody(base, database) -> httpx.Client:
    with httpx.Client(base_url=base) as client:
        yield client


READ = (
    "/api/v1/products", "/api/v1/inventory/check", "/api/v1/inventory/items/1", ORDERS, IMPORTS, "/api/v1/users/me",
    "/api/v1/inventory/exports/stock.csv", "/check_stock", "/api/schema", "/api/docs",
    "/admin/", "/admin/products/product/", "/admin/inventory/item/", "/admin/orders/order/1/change/", LOGIN,
)  # fmt: skip
UNREAD = ("/", "/admin", "/healthz", "/readyz", "/metrics", "/nowhere", "/static/shop/forms.js")


def refused(answer: httpx.Response) -> str:
    """Return what a problem refuses for; of the staff's screens, what the page says."""
    if answer.url.path.startswith("/admin"):
        assert answer.headers["content-type"].startswith("text/html")
        said = {400: ((f"most {settings.DATA_UPLOAD_MAX_NUMBER_FIELDS:,} param", FIELDS), ("most 100 files", FILES))}
        said[413] = (("2,621,440 bytes", BYTES),)
        return next(code for text, code in said[answer.status_code] if text in answer.text)
    assert answer.headers["content-type"] == "application/problem+json", answer.text[:300]
    body = answer.json()
    assert (answer.status_code, body["code"]) in ((400, "invalid"), (413, BYTES)), body
    return body["errors"][0]["code"] if body["code"] == "invalid" else body["code"]


@pytest.fixture(autouse=True)
def _nothing_is_logged(base, log):
    before = log.read_text()
    yield
    assert log.read_text()[len(before) :] == ""


@pytest.mark.parametrize("path", READ)
def test_parameters_where_somebody_is_known(staff_member, path):
    assert refused(staff_member.get(f"{path}?{QUERY}")) == FIELDS


@pytest.mark.parametrize("path", [f"{path}?a=%00&" for path in READ] + [f"{path}?a=%00&" for path in UNREAD])
def test_parameters_among_which_a_nul_is_looked_for(nobody, path):
    assert refused(nobody.get(f"{path}{QUERY}")) == FIELDS


@pytest.mark.parametrize("path", UNREAD)
def test_parameters_that_nobody_reads(nobody, path):
    assert nobody.get(f"{path}?{QUERY}").status_code in (200, 302, 401, 404)


@pytest.mark.parametrize("path", [ORDERS, IMPORTS, "/api/v1/auth/token", "/create_order"])
def test_parameters_of_a_request_with_a_body(staff_member, path):
    assert refused(staff_member.post(f"{path}?{QUERY}", json={})) == FIELDS


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ({"data": MANY}, FIELDS),
        ({"data": MANY, "files": {"file": FILE}}, FIELDS),
        ({"files": [(f"file{number}", FILE) for number in range(200)]}, FILES),
        ({"data": {"note": LONG}}, BYTES),
        ({"data": {"note": LONG}, "files": {"file": FILE}}, BYTES),
    ],
    ids=["fields", "fields of a form with a file", "files", "bytes", "bytes of a form with a file"],
)
@pytest.mark.parametrize("path", [LOGIN, "/admin/products/product/add/", "/admin/inventory/stockimport/add/", IMPORTS])
def test_forms(staff_member, path, sent, code):
    answer = staff_member.post(path, **sent)
    if path == IMPORTS and "files" not in sent:
        assert answer.status_code == 415
    else:
        assert refused(answer) == code
