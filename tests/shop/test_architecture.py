"""What keeps the house in shape, and that each keeper catches a planted violation."""

import inspect
import shutil
import subprocess
import sys
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
from shop.toolkit import idempotency, refusals, sheets
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
        "inventory/services/_ledger.py",
        "from orders import services as orders",
        "Apps call downward only",
    ),
    "siblings call each other": (
        "users/services.py",
        "from inventory import services as inventory",
        "Apps call downward only",
    ),
    "the toolkit knows an app": (
        "shop/toolkit/pages.py",
        "from users import services as users",
        "Apps call downward only",
    ),
    "an app knows the composition root": (
        "orders/services.py",
        "from shop import answers",
        "Apps call downward only",
    ),
    "a service imports a view": ("orders/services.py", "from orders import serializers", "Layers inside an app"),
    "a model imports a service": ("products/models.py", "from products import services", "Layers inside an app"),
    "a module without a place": ("orders/helpers.py", "x = 1", "Layers inside an app"),
    "a module of shop without a place": ("shop/utils.py", "x = 1", "Every module of shop has its place"),
    "production imports what the image does not contain": (
        "shop/management/commands/serve.py",
        "from shop.local import embedded",
        "Every module of shop has its place",
    ),
    "another app's models": (
        "orders/services.py",
        "from inventory import models as stock",
        "Inventory is private but for its services",
    ),
    "another app's sql": (
        "products/services.py",
        "from inventory import sql",
        "Inventory is private but for its services",
    ),
    "users' models": ("orders/services.py", "from users import models as people", "Users is private"),
    "products' models": ("orders/services.py", "from products import models as goods", "Products is private"),
    "orders' models": ("shop/health.py", "from orders import models as sales", "Orders is private"),
    "a service knows HTTP": ("users/services.py", "from rest_framework import status", "Services know no HTTP"),
    "a view knows a model": ("orders/views.py", "from orders import models", "Views and commands know no models"),
    "a command knows a model": (
        "products/management/commands/load_demo.py",
        "from products import models",
        "Views and commands know no models",
    ),
}


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
