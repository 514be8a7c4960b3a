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
from shop.toolkit.http.request_bodies import MAX_BODY_BYTES, max_form_bytes
from tests.drills import proxy
from tests.pooled import connect_query

COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
OURS = {name: service for name, service in COMPOSE["services"].items() if "build" in service}
WORKFLOWS = {path.stem: path.read_text() for path in (ROOT / ".github" / "workflows").glob("*.yml")}


def image_rules() -> tuple[list[str], list[str]]:
    """Return what .dockerignore lets into the image, and what it takes out of that again."""
    everything, *rules = [
        line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")
    ]
    assert everything == "*"
    let_in = [rule.removeprefix("!") for rule in rules if rule.startswith("!")]
    return let_in, rules[len(let_in) :]


def test_every_app_of_ours_is_let_in_and_nothing_that_production_does_not_run():
    top = {app.partition(".")[0] for app in settings.INSTALLED_APPS}
    ours = {name for name in top if (ROOT / name).is_dir()}
    let_in, left_out = image_rules()
    assert set(let_in) == ours | {"LICENSE", "manage.py", "requirements.txt"}
    assert left_out == ["shop/local", "**/__pycache__"]


@pytest.fixture(scope="module")
def image_files(tmp_path_factory) -> Path:
    """The files of the image, without what tests, benchmarks and a developer's machine need beside them."""
    folder = tmp_path_factory.mktemp("image")
    let_in, left_out = image_rules()
    for name in let_in:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    for rule in left_out:
        for path in [*folder.glob(rule)]:
            shutil.rmtree(path)
    assert not (folder / "shop" / "local").exists()
    return folder


def manage(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    named = {"PATH": os.environ["PATH"], "SECRET_KEY": os.environ["SECRET_KEY"], **environment}
    return subprocess.run(
        [sys.executable, "manage.py", *arguments], cwd=folder, env=named, capture_output=True, text=True
    )


NOWHERE = {"DATABASE_URL": "postgres://nobody@127.0.0.1:1/none"}


def test_the_image_runs_on_its_own(image_files):
    for command in (("check",), ("serve", "--help"), ("work", "--help"), ("migrate", "--help")):
        done = manage(image_files, *command, **NOWHERE)
        assert done.returncode == 0, done.stderr


def test_the_image_has_no_command_that_starts_a_database(image_files):
    assert " run\n" not in manage(image_files, "help", **NOWHERE).stdout
    assert " run\n" in manage(ROOT, "help", **NOWHERE).stdout
    assert manage(image_files, "run", **NOWHERE).stderr.startswith("Unknown command: 'run'")


def test_the_image_without_a_database_says_what_it_needs(image_files):
    done = manage(image_files, "check")
    assert done.returncode == 1
    assert done.stderr == "DATABASE_URL is not set. Set it to postgres://user:password@host:5432/name.\n"


# They are not a container's to be given: pages that show secrets, and what `make run` alone makes.
NOT_SHIPPED = {"DEBUG", "PORT", "DJANGO_SUPERUSER_EMAIL", "DJANGO_SUPERUSER_PASSWORD"}


def test_compose_passes_on_every_setting_and_nothing_else():
    rows = re.findall(r"^\| (`[A-Z_`, ]+) \|", (ROOT / "docs" / "settings.md").read_text(), re.MULTILINE)
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
    pages = [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]
    postgres = [version for page in pages for version in re.findall(r"PostgreSQL (\d+) or newer", page.read_text())]
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
