"""What is shipped: the image's files, compose.yaml and the workflows. `make image-proof` builds and runs the image."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from benchmarks import ROOT
from shop import serving, settings
from shop.toolkit.request_bodies import MAX_BODY_BYTES, max_form_bytes
from tests.drills import proxy
from tests.pooled import connect_query

COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
OURS = {name: service for name, service in COMPOSE["services"].items() if "build" in service}
WORKFLOWS = {path.stem: path.read_text() for path in (ROOT / ".github" / "workflows").glob("*.yml")}


def let_in() -> list[str]:
    everything, *rules = [
        line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")
    ]
    assert everything == "*"
    return [rule.removeprefix("!") for rule in rules if rule.startswith("!")]


def test_every_app_of_ours_is_let_in_and_nothing_that_production_does_not_run():
    top = {app.partition(".")[0] for app in settings.INSTALLED_APPS}
    ours = {name for name in top if (ROOT / name).is_dir()}
    assert set(let_in()) == ours | {"LICENSE", "manage.py", "requirements.txt"}


def test_what_is_let_in_runs_on_its_own(tmp_path):
    """Without tests, benchmarks and docs beside it: no module of production leans on those."""
    for name in let_in():
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    environment = {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": "postgres://nobody@127.0.0.1:1/none",
        "SECRET_KEY": os.environ["SECRET_KEY"],
    }
    done = subprocess.run(
        [sys.executable, "manage.py", "check"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


# They are not a container's to be given: pages that show secrets, and what `make run` alone makes.
NOT_SHIPPED = {"DEBUG", "PORT", "DJANGO_SUPERUSER_EMAIL", "DJANGO_SUPERUSER_PASSWORD"}


def test_compose_passes_on_every_setting_and_nothing_else():
    rows = re.findall(r"^\| (`[A-Z_`, ]+) \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    known = {name for row in rows for name in re.findall("`([A-Z_]+)`", row)}
    for name, service in OURS.items():
        assert set(service["environment"]) == known - NOT_SHIPPED, name


def test_compose_says_how_each_secret_is_made_that_it_needs():
    text = (ROOT / "compose.yaml").read_text()
    needed = set(re.findall(r"\$\{([A-Z_]+):\?", text))
    told = " ".join(line for line in text.splitlines() if line.startswith("#     "))

    assert needed >= {"SECRET_KEY", "DATABASE_PASSWORD"}
    assert [name for name in needed if name not in told] == []
    assert [name for name in needed if name not in WORKFLOWS["ci"]] == []


def test_the_pooler_of_compose_is_told_what_the_page_says():
    assert f"connect_query='{connect_query()}'\n" in COMPOSE["configs"]["pgbouncer"]["content"]
    assert "query_wait_timeout = 2\n" in COMPOSE["configs"]["pgbouncer"]["content"]


def test_compose_confines_what_it_can_and_only_the_proxy_may_be_reached():
    assert set(OURS) == {"migrate", "web", "worker"}
    for service in [*OURS.values(), COMPOSE["services"]["proxy"]]:
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
    # A port that Docker publishes is open to everybody, whatever the machine's firewall says.
    published = {name: service["ports"] for name, service in COMPOSE["services"].items() if "ports" in service}
    assert published == {"proxy": ["80:80", "443:443"]}


def test_the_proxy_takes_what_the_shop_takes_and_ends_idle_connections_before_the_shop_does():
    text = proxy.CONFIGURATION.read_text()
    assert set(re.findall(r"client_max_body_size (\d+)m;", text)) == {"1", str(max_form_bytes() >> 20)}
    assert MAX_BODY_BYTES < 1 << 20
    (kept,) = re.findall(r"keepalive \d+;.*?keepalive_timeout (\d+)s;", text, re.DOTALL)
    assert int(kept) < serving.HEADER_SECONDS
    # Without these the shop would wait for slow clients, or believe them.
    for line in ("proxy_request_buffering on;", "proxy_buffering on;", "underscores_in_headers off;"):
        assert line in text
    assert f"server web:{settings.PORT};" in text
    assert "./proxy/nginx.conf:/etc/nginx/nginx.conf:ro" in COMPOSE["services"]["proxy"]["volumes"]


def test_no_image_can_be_exchanged_under_its_name():
    (base,) = re.findall(r"^ARG BASE_IMAGE=(.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    others = {service["image"] for service in COMPOSE["services"].values() if "build" not in service}
    by_tag = {image for image in {base, *others} if not re.fullmatch(r"[\w/]+:[\w.-]+@sha256:[0-9a-f]{64}", image)}

    assert {image.partition(":")[0] for image in by_tag} == {"edoburu/pgbouncer"}  # by its tag alone
    assert [image for image in by_tag if not re.search(r":v\d+\.\d+\.\d+-p\d+$", image)] == []


def test_the_workflows_call_what_there_is():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    called = {name for text in WORKFLOWS.values() for name in re.findall(r"\bmake ([a-z-]+)", text)}
    assert {"lint", "audit", "docs", "test"} <= called <= targets


def test_the_workflows_run_no_action_that_can_be_exchanged_under_its_name():
    used = [name for text in WORKFLOWS.values() for name in re.findall(r"uses: (\S+)", text)]
    assert used
    assert [name for name in used if not re.fullmatch(r"\./\.github/workflows/\S+|[\w/-]+@[0-9a-f]{40}", name)] == []


def test_the_oldest_python_and_postgresql_that_are_promised_are_tested():
    matrix = yaml.safe_load(WORKFLOWS["ci"])["jobs"]["tests"]["strategy"]["matrix"]
    (python,) = re.findall(r'requires-python = ">=(.+)"', (ROOT / "pyproject.toml").read_text())
    postgres = re.findall(r"PostgreSQL (\d+) or newer", (ROOT / "README.md").read_text())
    assert python in matrix["python"]
    assert postgres
    assert set(postgres) <= set(matrix["postgres"])


@pytest.mark.long
def test_what_the_forge_and_compose_read_is_as_they_take_it():
    checker = Path(sys.executable).with_name("check-jsonschema")
    for schema, paths in (
        ("vendor.github-workflows", [*(ROOT / ".github" / "workflows").glob("*.yml")]),
        ("vendor.compose-spec", [ROOT / "compose.yaml"]),
        ("vendor.dependabot", [ROOT / ".github" / "dependabot.yml"]),
    ):
        done = subprocess.run([checker, "--builtin-schema", schema, *paths], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
