"""The schema, the docs page, the admin, and that README and settings tell the same."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import call_command, get_commands

from shop import answers, settings
from tests import conformance, factories
from tests.shop.permission_matrix import GROUPS, ROLES, ROWS

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


def test_the_readme_lists_every_variable_that_is_read():
    read = set()
    for path in (ROOT / "shop").rglob("*.py"):
        read |= set(
            re.findall(
                r"""(?:env\.\w+|required|whole_number|choice|rate|words|os\.environ\.get)\(\s*"([A-Z_]+)\"""",
                path.read_text(),
            )
        )
    rows = re.findall(r"^\| (`[A-Z_`, ]+) \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    table = {name for row in rows for name in re.findall("`([A-Z_]+)`", row)}

    assert read == table
    assert {"DATABASE_URL", "SECRET_KEY", "PORT"} <= read


def test_the_readme_names_every_direct_dependency():
    readme = (ROOT / "README.md").read_text()
    listed = re.findall(
        r'^    "([a-z0-9-]+)', (ROOT / "pyproject.toml").read_text().split("[dependency-groups]")[0], re.MULTILINE
    )

    assert len(listed) > 10
    assert [name for name in listed if name not in readme.lower()] == []


def test_safe_defaults():
    assert settings.DEBUG is False
    assert "*" not in settings.ALLOWED_HOSTS
    assert settings.JWT_SIGNING_KEY != settings.SECRET_KEY


def test_the_errors_page_names_every_code_and_no_other():
    page = (ROOT / "docs" / "errors.md").read_text()
    listed = {
        code for row in re.findall(r"^\| \d{3} \| ([^|]+)", page, re.MULTILINE) for code in re.findall("`(.+?)`", row)
    }
    source = "".join((ROOT / "shop" / name).read_text() for name in ("answers.py", "health.py", "toolkit/problems.py"))
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
    ours = {path.stem for path in ROOT.glob("*/management/commands/[a-z]*.py")}
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
    mentioned = {name for page in ROOT.glob("docs/*.md") for name in re.findall(r"`make ([a-z-]+)", page.read_text())}
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
