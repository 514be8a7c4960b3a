"""Where the code leans on what a library does not document: listed in docs/architecture.md, each with a version."""

import ast
import re
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("shop", "users", "products", "inventory", "orders")
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()


def private_parts(tree: ast.AST) -> set[str]:
    """Return the private names of libraries that are imported, and the private methods of a class above."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] not in PRODUCT:
            names = [*node.module.split("."), *(alias.name for alias in node.names)]
            if any(re.match(r"_[A-Za-z]", name) for name in names):
                found.add(f"{node.module}.{node.names[0].name}")
        elif isinstance(node, ast.Attribute) and re.match(r"_[a-z]", node.attr):
            of = node.value
            if isinstance(of, ast.Call) and isinstance(of.func, ast.Name) and of.func.id == "super":
                found.add(f"super().{node.attr}")
    return found


def all_private_parts() -> dict[str, set[str]]:
    files = [path for package in PRODUCT for path in (ROOT / package).rglob("*.py")]
    found = {str(path.relative_to(ROOT)): private_parts(ast.parse(path.read_text())) for path in files}
    ours = {path: set(re.findall(r"def (_\w+)", (ROOT / path).read_text())) for path in found}
    for path, parts in found.items():
        # What a class of ours has from another class of ours.
        parts -= {f"super().{name}" for other in ours if other != path for name in ours[other]}
    return {path: parts for path, parts in found.items() if parts}


def listed() -> dict[str, tuple[str, set[str]]]:
    """Return what the page lists: by file, the library with its version, and the private parts."""
    rows = re.findall(r"^\| `([\w/.]+\.py)` \| ([\w-]+ [\d.]+) \| (.+?) \|", ARCHITECTURE, re.MULTILINE)
    return {path: (library, set(re.findall(r"`([^`]+)`", parts))) for path, library, parts in rows}


def test_the_page_lists_every_private_part():
    assert {path: parts for path, (_, parts) in listed().items()} == all_private_parts()


@pytest.mark.parametrize("path", listed())
def test_a_private_part_is_used_with_the_version_that_it_was_seen_with(path):
    library, seen_with = listed()[path][0].split()
    assert version(library).startswith(f"{seen_with}."), f"see whether {path} still holds, then change the page"


@pytest.mark.parametrize(
    "line", ["from psycopg._preparing import PrepareManager", "from psycopg.errors import _WaitTimeout", "super()._x()"]
)
def test_the_walk_sees_one_that_is_planted(line):
    assert private_parts(ast.parse(line))
