"""What keeps the house in shape, and that each keeper catches a planted violation."""

import ast
import inspect
import re
import shutil
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.db import models

from inventory import services as inventory
from orders import services as orders
from products import services as products
from shop import answers
from shop.toolkit import refusals
from shop.toolkit.files import sheets
from shop.toolkit.http import idempotency
from users import services as users

ROOT = Path(__file__).resolve().parents[2]
APPS = ("users", "products", "inventory", "orders")


def foreign_keys_that_leave(app_labels: tuple[str, ...]) -> list[str]:
    found = []
    for model in apps.get_models():
        if model._meta.app_label not in app_labels:
            continue
        for field in model._meta.get_fields():
            if not isinstance(field, models.ForeignKey | models.ManyToManyField):
                continue
            target = field.related_model._meta
            if target.app_label != model._meta.app_label and target.label != settings.AUTH_USER_MODEL:
                found.append(f"{model._meta.label}.{field.name} -> {target.label}")
    return found


def test_no_foreign_key_leaves_its_app_but_for_the_user():
    # Groups and permissions come with Django's own user.
    assert foreign_keys_that_leave(APPS) == [
        "users.User.groups -> auth.Group",
        "users.User.user_permissions -> auth.Permission",
    ]


def test_the_walk_over_foreign_keys_sees_one_that_leaves():
    assert "admin.LogEntry.content_type -> contenttypes.ContentType" in foreign_keys_that_leave(("admin",))


def refusals_of(*modules) -> set[type]:
    return {
        found
        for module in modules
        for _, found in inspect.getmembers(module, inspect.isclass)
        if issubclass(found, Exception)
        and found.__module__.split(".")[0] in (*APPS, "shop")
        and found is not refusals.Refusal
    }


def test_every_exception_of_a_service_has_an_http_answer():
    named = refusals_of(users, products, inventory, orders)

    of_the_toolkit = {refusals.InvalidCursor, sheets.UnreadableFile, *refusals_of(idempotency)}
    assert named | of_the_toolkit == set(answers.REFUSALS)
    assert len(named) > 15


def test_every_refusal_in_the_code_is_public():
    """An exception that a part of a service raises, and its package does not name, would be no answer but a crash."""

    def leaves(kind: type) -> set[type]:
        return {kind}.union(*(leaves(child) for child in kind.__subclasses__()))

    own = {kind for kind in leaves(refusals.Refusal) if not kind.__module__.startswith("tests")}
    assert own - {refusals.Refusal} == set(answers.REFUSALS)


def test_no_migration_is_missing(database):
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


# One violation of each rule: file, the line planted at its end, and the contract that must name it.
PLANTED = {
    "an app calls upward": (
        "inventory/stock/ledger.py",
        "from orders import services as orders",
        "Apps call downward only",
    ),
    "siblings call each other": (
        "users/accounts.py",
        "from inventory import services as inventory",
        "Apps call downward only",
    ),
    "the toolkit knows an app": (
        "shop/toolkit/db/pages.py",
        "from users import services as users",
        "Apps call downward only",
    ),
    "an app knows the composition root": (
        "orders/checkout.py",
        "from shop import answers",
        "Apps call downward only",
    ),
    "a verb imports a view": ("orders/checkout.py", "from orders import http", "Layers inside an app"),
    "a model imports a verb": ("products/models.py", "from products import catalogue", "Layers inside an app"),
    "a module without a place": ("orders/helpers.py", "x = 1", "Layers inside an app"),
    "a module of shop without a place": ("shop/utils.py", "x = 1", "Every module of shop has its place"),
    "production imports what the image does not contain": (
        "shop/management/commands/serve.py",
        "from shop.local import embedded",
        "Every module of shop has its place",
    ),
    "another app's models": (
        "orders/checkout.py",
        "from inventory import models as stock",
        "Inventory is private but for its services",
    ),
    "another app's sql": (
        "products/catalogue.py",
        "from inventory.stock import sql",
        "Inventory is private but for its services",
    ),
    "another app's room": (
        "orders/checkout.py",
        "from inventory.reservations import holds",
        "Inventory is private but for its services",
    ),
    "a room of the toolkit calls upward": (
        "shop/toolkit/db/pages.py",
        "from shop.toolkit.http import views",
        "Rooms of the toolkit",
    ),
    "a file of the toolkit without a place": ("shop/toolkit/helpers.py", "x = 1", "Rooms of the toolkit"),
    "a room calls upward": ("inventory/stock/ledger.py", "from inventory.counts import models", "Rooms of inventory"),
    "rooms on one floor call each other": (
        "inventory/counts/counting.py",
        "from inventory.imports import steps",
        "Rooms of inventory",
    ),
    "a room calls the face of its app": (
        "inventory/imports/steps.py",
        "from inventory import services",
        "Rooms of inventory",
    ),
    "a room without a place": ("inventory/helpers.py", "x = 1", "Rooms of inventory"),
    "a file of a room without a place": ("inventory/stock/utils.py", "x = 1", "Layers inside a room"),
    "a statement calls a verb": (
        "inventory/stock/sql.py",
        "from inventory.stock import ledger",
        "Layers inside a room",
    ),
    "a verb knows HTTP": (
        "inventory/reservations/holds.py",
        "from rest_framework import status",
        "Services know no HTTP",
    ),
    "a room's view knows a model": (
        "inventory/reservations/http.py",
        "from inventory.reservations import models",
        "Views and commands know no models",
    ),
    "a room's view knows a statement": (
        "inventory/imports/http.py",
        "from inventory.imports import sql_staging",
        "Views and commands know no models",
    ),
    "users' models": ("orders/checkout.py", "from users import models as people", "Users is private"),
    "products' models": ("orders/checkout.py", "from products import models as goods", "Products is private"),
    "orders' models": ("shop/health.py", "from orders import models as sales", "Orders is private"),
    "an app's verb knows HTTP": ("users/accounts.py", "from rest_framework import status", "Services know no HTTP"),
    "a view knows a model": ("orders/http.py", "from orders import models", "Views and commands know no models"),
    "a command knows a model": (
        "products/management/commands/load_demo.py",
        "from products import models",
        "Views and commands know no models",
    ),
}


# What an app may not name: the apps above it and beside it. A table, a permission or an app's label is a string that no
# import shows.
ABOVE = {
    "shop/toolkit": APPS,
    "users": ("products", "inventory", "orders"),
    "inventory": ("users", "products", "orders"),
    "products": ("users", "orders"),
}


def names_of_others(house: Path) -> list[str]:
    """Return the strings by which an app names one that it may not know: a label alone, or its tables and paths."""
    found = []
    for app, others in ABOVE.items():
        either = "|".join(others)
        named = re.compile(rf"({either})$|.*\b({either})(_[a-z]+\b|\.[a-zA-Z])|.*/({either})\b", re.DOTALL)
        for path in sorted((house / app).rglob("*.py")):
            if "migrations" in path.parts:
                continue
            tree = ast.parse(path.read_text())
            docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
            found += [
                f"{path.relative_to(house)}: {node.value}"
                for node in ast.walk(tree)
                if isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and id(node) not in docstrings
                and named.match(node.value)
            ]
    return found


def test_no_app_knows_by_string_what_it_may_not_import():
    # A parameter of one statement: the ids of products.
    assert names_of_others(ROOT) == ["inventory/reservations/sql.py: products"]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("inventory/stock/ledger.py", 'TABLE = "orders_order"'),
        ("inventory/stock/ledger.py", 'STATEMENT = "SELECT 1 FROM products_product"'),
        ("inventory/verification/checks.py", 'APPS = ("inventory", "orders")'),
        ("products/sql.py", 'MODEL = "orders.Order"'),
        ("users/sql.py", 'RIGHT = "inventory.view_item"'),
        ("shop/toolkit/http/middleware.py", 'PATH = "/api/v1/products"'),
    ],
)
def test_the_walk_over_strings_sees_a_name_that_is_planted(copy_of_the_house, name, line):
    path = copy_of_the_house / name
    before = path.read_text()
    try:
        path.write_text(f"{before}\n{line}\n")
        found = names_of_others(copy_of_the_house)
    finally:
        path.write_text(before)
    assert len(found) == 2
    assert any(text.startswith(name) for text in found)


def test_every_verb_stands_in_the_contract_that_keeps_http_out():
    contract = next(
        found
        for found in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
        if found["name"] == "Services know no HTTP"
    )
    skins = ("http", "shapes", "admin", "forms", "authentication", "urls", "apps", "services", "__init__")
    files = {
        path.relative_to(ROOT) for app in APPS for path in [*(ROOT / app).glob("*.py"), *(ROOT / app).glob("*/*.py")]
    }
    verbs = {
        ".".join(path.with_suffix("").parts)
        for path in files
        if path.stem not in skins and path.parts[1] not in ("management", "migrations")
    }
    assert {verb for verb in verbs if not any(fnmatch(verb, kept) for kept in contract["source_modules"])} == set()


@pytest.fixture(scope="session")
def copy_of_the_house(tmp_path_factory) -> Path:
    copy = tmp_path_factory.mktemp("house")
    for name in ("shop", *APPS):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    return copy


def contracts(house: Path) -> subprocess.CompletedProcess:
    # Run inside the copy and without the cache, so that it is the copy which is read.
    return subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-cache"],
        cwd=house,
        env={"PYTHONPATH": str(house), "PATH": "/usr/bin:/bin", "COLUMNS": "200"},
        capture_output=True,
        text=True,
    )


def test_the_copy_keeps_every_contract(copy_of_the_house):
    result = contracts(copy_of_the_house)

    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 broken" in result.stdout


@pytest.mark.parametrize("violation", PLANTED)
def test_the_contracts_catch_a_planted_violation(copy_of_the_house, violation):
    name, line, contract = PLANTED[violation]
    path = copy_of_the_house / name
    before = path.read_text() if path.exists() else None
    try:
        path.write_text(f"{before or ''}\n{line}\n")
        result = contracts(copy_of_the_house)
    finally:
        path.write_text(before) if before is not None else path.unlink()

    assert result.returncode == 1, result.stdout + result.stderr
    assert f"{contract}" in result.stdout
    broken = [text for text in result.stdout.splitlines() if text.endswith("BROKEN")]
    assert any(text.startswith(contract) for text in broken), broken


def test_the_linters_catch_a_planted_violation(tmp_path):
    path = tmp_path / "planted.py"
    path.write_text("import os\n\n\ndef f(x: int) -> str:\n    return x\n")

    ruff = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--config", ROOT / "pyproject.toml", path],
        capture_output=True,
        text=True,
    )
    mypy = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file=", "--strict", path], capture_output=True, text=True
    )

    assert "F401" in ruff.stdout
    assert "Incompatible return value type" in mypy.stdout
