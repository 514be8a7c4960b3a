"""The schema, the docs page, the admin, and that the pages of docs/ and the code say the same."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Group
from django.core.management import call_command, get_commands

from shop import answers, settings
from tests import conformance, factories
from tests.shop.permission_matrix import GROUPS, ROLES, ROWS
from users.models import User

SECRET_KEY = "of-these-tests-and-long-enough-for-them"
ROOT = Path(__file__).resolve().parents[2]


def test_the_schema_is_openapi_3_1_and_valid(tmp_path):
    call_command("spectacular", validate=True, fail_on_warn=True, file=str(tmp_path / "schema.yaml"))


def test_the_schema_names_every_route_with_its_errors(api):
    schema = api.get("/api/schema", headers={"accept": "application/json"}).json()

    assert schema["openapi"].startswith("3.1")
    assert {"/api/v1/inventory/check", "/api/v1/orders/{order_id}/confirm"} <= set(schema["paths"])
    checkout = schema["paths"]["/api/v1/orders"]["post"]
    assert {"201", "400", "401", "404", "409", "503"} <= set(checkout["responses"])
    assert "application/problem+json" in checkout["responses"]["409"]["content"]


def test_the_docs_page_loads_nothing_from_elsewhere(api):
    page = api.get("/api/docs")

    assert page.status_code == 200
    sources = re.findall(r"""(?:src|href)=["']([^"']+)["']""", page.content.decode())
    assert len(sources) >= 3
    for source in sources:
        assert source.startswith(("/static/", "/api/docs?script=")), source
        response = api.get(source)
        assert response.status_code == 200
        response.close()


def test_no_page_has_a_script_of_its_own(api):
    """So that the pages' policy can forbid those that somebody else puts there."""
    for path in ("/api/docs", "/admin/login/"):
        page = api.get(path)
        assert re.findall(r"<script(?![^>]*\bsrc=)[^>]*>", page.content.decode()) == []
        assert (
            "'unsafe-inline'"
            not in page.headers["content-security-policy"].partition("script-src")[2].partition(";")[0]
        )


def test_the_root_leads_to_the_docs_and_admin_to_its_door(api):
    assert api.get("/").headers["location"] == "/api/docs"
    assert api.get("/admin").headers["location"] == "/admin/"


@pytest.mark.parametrize(
    "page",
    [
        "",
        "inventory/item/",
        "inventory/warehouse/",
        "inventory/reservation/",
        "products/product/",
        "orders/order/",
        "users/user/",
    ],
)
def test_the_admin_shows_rows_and_offers_no_change_behind_the_services(api, page):
    admin = factories.user(is_staff=True, is_superuser=True)
    factories.order(admin, (factories.product(stock=5).id, 1))
    assert api.login(email=admin.email, password=factories.PASSWORD)

    response = api.get(f"/admin/{page}")

    assert response.status_code == 200
    if page:
        assert api.get(f"/admin/{page}add/").status_code == 403
        (link,) = set(re.findall(rf'href="(/admin/{page}[^"?]+/change/)', response.content.decode()))
        assert api.get(link).status_code == 200
        assert b'name="_save"' not in api.get(link).content


def test_the_page_of_settings_lists_every_variable_that_is_read():
    read = set()
    for path in (ROOT / "shop").rglob("*.py"):
        read |= set(
            re.findall(
                r"""(?:env\.\w+|required|whole_number|choice|rate|words|os\.environ\.get)\(\s*"([A-Z_]+)\"""",
                path.read_text(),
            )
        )
    rows = re.findall(r"^\| (`[A-Z_`, ]+) \|", (ROOT / "docs" / "settings.md").read_text(), re.MULTILINE)
    table = {name for row in rows for name in re.findall("`([A-Z_]+)`", row)}

    assert read - {"TERM"} == table  # which the terminal says of itself
    assert {"DATABASE_URL", "SECRET_KEY", "PORT"} <= read


def test_the_page_of_dependencies_gives_each_direct_one_a_reason():
    page = (ROOT / "docs" / "dependencies.md").read_text()
    direct = re.findall(
        r'^    "([a-z0-9-]+)', (ROOT / "pyproject.toml").read_text().split("[dependency-groups]")[0], re.MULTILINE
    )
    listed = re.findall(r"^\| `([a-z0-9-]+)` \| [^|]{5,} \|$", page, re.MULTILINE)

    assert len(direct) > 10
    assert sorted(listed) == sorted(direct)


def test_safe_defaults():
    assert settings.DEBUG is False
    assert "*" not in settings.ALLOWED_HOSTS
    assert settings.JWT_SIGNING_KEY != settings.SECRET_KEY


def documented_codes() -> dict[str, int]:
    """Return each code of the page on errors with its status."""
    page = (ROOT / "docs" / "errors.md").read_text()
    return {
        code: int(status)
        for status, row in re.findall(r"^\| (\d{3}) \| ([^|]+)", page, re.MULTILINE)
        for code in re.findall("`(.+?)`", row)
    }


def test_the_errors_page_names_every_code_and_no_other():
    listed = documented_codes().keys()
    source = "".join(
        (ROOT / "shop" / name).read_text() for name in ("answers.py", "health.py", "toolkit/http/problems.py")
    )
    used = {answer.code for answer in answers.REFUSALS.values()} | {code for code, _ in answers.FRAMEWORK.values()}
    used |= set(re.findall(r'problem\(\s*\d{3}, "([a-z_]+)"', source))

    assert listed == used


def test_what_the_database_url_asks_for_reaches_the_driver():
    code = "from shop import settings; print(settings.DATABASES['default']['OPTIONS'])"
    environment = {
        "PATH": os.environ["PATH"],
        "SECRET_KEY": SECRET_KEY,
        "DATABASE_URL": "postgres://u@h/d?sslmode=verify-full&target_session_attrs=read-write&options=-c%20work_mem%3D9MB",
    }
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True
    ).stdout

    assert "'sslmode': 'verify-full'" in said
    assert "'target_session_attrs': 'read-write'" in said
    assert "lock_timeout=2s" in said
    assert "work_mem=9MB" in said


@pytest.mark.parametrize(
    ("name", "value"), [("DEFAULT_CURRENCY", "eur"), ("RESERVATION_TTL_SECONDS", "-5"), ("DATABASE_POOL_SIZE", "many")]
)
def test_a_setting_that_makes_no_sense_stops_the_start_with_a_sentence(name, value):
    environment = {"PATH": os.environ["PATH"], "SECRET_KEY": SECRET_KEY, "DATABASE_URL": "postgres:///x", name: value}
    said = subprocess.run(
        [sys.executable, "-c", "import shop.settings"], cwd=ROOT, env=environment, capture_output=True, text=True
    )

    assert said.returncode == 1
    assert said.stderr.startswith(f"{name} is {value!r};")


def test_the_page_of_endpoints_names_each_with_what_it_does():
    page = (ROOT / "docs" / "api.md").read_text()
    rows = re.findall(r"^\| ([A-Z]+) \| `([^`]+)` \| ([^|]+) \| (.+) \|$", page, re.MULTILINE)
    listed = [(method, path, does) for method, path, _, does in rows]
    paths = conformance.document()["paths"].items()
    assert listed == [
        (m.upper(), path, found["summary"]) for path, operations in paths for m, found in operations.items()
    ]


def test_every_command_is_on_the_page_about_running_it():
    page = (ROOT / "docs" / "running.md").read_text()
    folders = [*ROOT.glob("*/management/commands"), ROOT / "shop" / "local" / "management" / "commands"]
    ours = {path.stem for folder in folders for path in folder.glob("[a-z]*.py")}
    listed = {
        name.split()[0]
        for row in re.findall(r"^\| (`[^|]+) \|", page, re.MULTILINE)
        for name in re.findall("`([a-z_]+[^`]*)`", row)
    }
    assert ours <= listed
    assert listed - ours <= {*get_commands()} | {
        "secret_key",
        "jwt_signing_key",
        "metrics_token",
        "postgres/",
        "run.pid",
    }


def test_every_target_of_make_says_what_it_does():
    text = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", text, re.MULTILINE)) - {"install", "install-dev"}
    assert targets == set(re.findall(r"^([a-z-]+):.*## ", text, re.MULTILINE))
    mentioned = {
        name for page in ROOT.glob("docs/**/*.md") for name in re.findall(r"`make ([a-z-]+)", page.read_text())
    }
    assert mentioned <= targets


def test_the_page_of_endpoints_says_who_may_as_the_matrix_does():
    page = (ROOT / "docs" / "api.md").read_text()
    said = {
        f"{method} {path.removeprefix('/api/v1')}": who
        for method, path, who in re.findall(r"^\| ([A-Z]+) \| `([^`]+)` \| ([^|]+) \|", page, re.MULTILINE)
    }
    for method, route, whose, cells in ROWS:
        name = f"{method} {route.replace('<', '{').replace('>', '}')}"
        may = {role for role, cell in zip(ROLES, cells, strict=True) if cell.startswith("2")}
        if whose in ("other", "absent", "archived", "stock") or route == "/api/schema":
            continue
        if {"anonymous", "customer", "staff"} & may:
            first = next(role for role in ("anonymous", "customer", "staff") if role in may)
            expected = {"anonymous": "everybody", "customer": "users", "staff": "staff"}[first]
        else:
            expected = ", ".join(group for role, group in GROUPS.items() if role in may)
        assert said[name] == expected, name


def _members(value: Any, key: str) -> Iterator[Any]:
    """Yield each value that stands under a key, at any depth."""
    if isinstance(value, dict):
        yield from (value[key],) if key in value else ()
        for inner in value.values():
            yield from _members(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from _members(inner, key)


def _names(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _names(inner)


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "integrating").glob("*.md")), ids=lambda page: page.stem)
def test_an_example_for_integrators_has_names_paths_and_codes_that_the_document_has(page):
    text = page.read_text()
    document = conformance.document()
    known = {name for found in _members(document["components"], "properties") for name in found}
    codes = documented_codes()
    for example in (json.loads(block) for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL)):
        assert set(_names(example)) <= known
        if "code" in example:
            assert codes[example["code"]] == example["status"]
    assert set(re.findall(r"\b(?:40[0-9]|409|422|429|503) `([a-z_]+)`", text)) <= {*codes, "shop_unavailable"}
    paths = {re.sub(r"\{\w+\}", "{}", path.removeprefix("/api/v1")) for path in document["paths"]}
    named = re.findall(r"`(?:GET|POST|PATCH|DELETE) (/[\w/{}.]+)", text)
    called = re.findall(r"https://[\w.]+/api/v1(/[\w/$.]+)", text)
    asked = {re.sub(r"\{\w+\}|\$[A-Z]+|(?<=/items/)\d+", "{}", path) for path in [*named, *called]}
    assert asked <= paths


def pictures(page: str, kind: str) -> list[str]:
    """Return a page's Mermaid diagrams of a kind."""
    text = (ROOT / "docs" / page).read_text()
    return [body for found, body in re.findall(r"```mermaid\n(\w+)[^\n]*\n(.*?)```", text, re.DOTALL) if found == kind]


def parameter(path: str, name: str) -> list[str]:
    """Return the values that a parameter of a list may have."""
    (found,) = [one for one in conformance.document()["paths"][path]["get"]["parameters"] if one["name"] == name]
    return list(found["schema"]["enum"])


@pytest.mark.parametrize(
    ("page", "path", "name"),
    [("orders.md", "/api/v1/orders", "status"), ("stock.md", "/api/v1/inventory/reservations", "state")],
)
def test_a_picture_of_states_has_every_state_and_no_other(page, path, name):
    (picture,) = pictures(page, "stateDiagram")
    steps = re.findall(r"^ +(\S+) --> (\S+?)(?::|$)", picture, re.MULTILINE)
    assert {state for step in steps for state in step} - {"[*]"} == set(parameter(path, name))


def test_the_pictures_of_tables_have_every_table_and_columns_that_are_there():
    ours = {model._meta.db_table: model for app in ("inventory", "orders", "products", "users", "shop", "toolkit")
            for model in apps.get_app_config(app).get_models()}  # fmt: skip
    text = (ROOT / "docs" / "tables.md").read_text()
    drawn = [found for picture in pictures("tables.md", "erDiagram") for found in re.findall(
        r"^    (\w+) \{\n(.*?)^    \}", picture, re.MULTILINE | re.DOTALL)]  # fmt: skip
    assert len(drawn) > 10
    for table, body in drawn:
        columns = {field.column for field in ours[table]._meta.concrete_fields}
        assert {line.split()[1] for line in body.splitlines()} <= columns, table
    assert [table for table in ours if table not in text] == []


def blocks(page: str, language: str) -> list[str]:
    """Return the blocks of code of a guide that are in a language."""
    text = (ROOT / "docs" / "integrating" / page).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


class Reader:
    """Somebody who pastes the commands of a guide, with tokens, ids and an order of their own."""

    def __init__(self, server: str, folder: Path, products: dict[int, int]) -> None:
        self.server, self.folder, self.products = server, folder, products
        erp = factories.user(is_staff=True, group="Inventory manager")
        for group in ("Catalogue manager", "Order desk"):
            User.objects.get(pk=erp.id).groups.add(Group.objects.get(name=group))
        accounts = {"CUSTOMER": factories.user(), "PAYMENTS": factories.user(group="Payments"), "ERP": erp}
        self.variables = {name: factories.access_token(account) for name, account in accounts.items()}

    def paste(self, command: str) -> Any:
        """Run a command as it stands, but for the address and the products; return what it answers."""
        command = re.sub(r'(?<="product_id":)\d+|(?<=/items/)\d+', lambda found: str(self.own(int(found[0]))), command)
        command = command.replace("https://shop.example", self.server).replace("curl ", "curl -sS ")
        environment = {**os.environ, **self.variables}
        done = subprocess.run(
            ["bash", "-euc", command], cwd=self.folder, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def own(self, product_id: int) -> int:
        return self.products.get(product_id, product_id)

    def sees(self, documented: str, answer: Any) -> None:
        """Hold an answer against what the guide shows of it; keys, moments and the place in the ledger differ."""
        self._compare(json.loads(documented), answer)

    def _compare(self, shown: Any, found: Any) -> None:
        if isinstance(shown, list):
            assert len(shown) == len(found)
            for one, other in zip(shown, found, strict=True):
                self._compare(one, other)
        elif isinstance(shown, dict):
            for name, value in shown.items():
                if name == "product_id":
                    assert found[name] == self.own(value)
                elif name in ("id", "number", "seq", "actor_id") or (name.endswith("_at") and value):
                    assert found[name]
                else:
                    self._compare(value, found[name])
        else:
            assert shown == found


@pytest.fixture
def reader(server, tmp_path) -> Reader:
    mug = factories.product(sku="MUG-BLUE", price="9.90", stock=48)
    white, none = factories.product(sku="MUG-WHITE", price="8.90", stock=30), factories.product(stock=0)
    return Reader(server, tmp_path, {1: mug.id, 2: white.id, 12: none.id, 999: none.id + 1000})


def test_the_guide_to_checkout_works_as_pasted(reader):
    check, checkout, confirm, cancel, take_back = blocks("checkout.md", "sh")
    checked, placed, _, confirmed, _ = blocks("checkout.md", "json")

    reader.sees(checked.replace("59", "48"), reader.paste(check))
    order = reader.paste(checkout)
    reader.sees(placed, order)
    reader.variables["ORDER"] = order["id"]
    reader.sees(confirmed, reader.paste(confirm))
    reader.paste(blocks("erp.md", "sh")[-1])  # ships one of two units
    assert reader.paste(cancel)["status"] == "cancelled"
    assert reader.paste(take_back)["items"][0]["returned"] == 1


def test_the_guide_to_an_erp_works_as_pasted(reader):
    create, receive, load, reserve, ship = blocks("erp.md", "sh")
    created, received, _, loaded, reserved, shipped = blocks("erp.md", "json")
    (file,) = blocks("erp.md", "csv")
    _, checkout, confirm, *_ = blocks("checkout.md", "sh")

    reader.sees(created, reader.paste(create))
    reader.sees(received, reader.paste(receive))
    (reader.folder / "levels.csv").write_text(file)
    reader.sees(loaded, reader.paste(load))
    reader.sees(reserved, reader.paste(reserve))
    reader.variables["ORDER"] = reader.paste(checkout)["id"]
    reader.paste(confirm)
    reader.sees(shipped, reader.paste(ship))


@pytest.mark.parametrize("page", ["README.md", "CHANGELOG.md", "SECURITY.md"])
def test_a_page_at_the_top_links_to_what_is_there(page):
    links = re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / page).read_text())
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
