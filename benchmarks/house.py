"""How large is the house, and how far does one request walk through it? `make bench-house`

Lines, functions and names of the product's code, and the files and calls of our own that one checkout passes through.
"""

import ast
import json
import logging
import re
import statistics
import sys
import types
from pathlib import Path
from typing import Any

from benchmarks import ROOT, migrated_server

PACKAGES = ("shop", "users", "products", "inventory", "orders")
HOST = {"SERVER_NAME": "localhost"}
FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)


def main() -> None:
    sources = {path: path.read_text() for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))}
    product = {path: text for path, text in sources.items() if "migrations" not in path.parts}
    lengths = [length for text in product.values() for length in _lengths(text)]
    longest_file = max(product, key=lambda path: product[path].count("\n"))
    figures: dict[str, Any] = {
        "files": len(product),
        "lines": sum(text.count("\n") for text in product.values()),
        "longest file": f"{product[longest_file].count(chr(10))} ({longest_file.relative_to(ROOT)})",
        "functions": len(lengths),
        "  lines of one, median": statistics.median(lengths),
        "  lines of one, 95th percentile": statistics.quantiles(lengths, n=20)[-1],
        "  lines of the longest": max(lengths),
        "Any": sum(len(re.findall(r"\bAny\b", text)) for text in product.values()),
        "**given and the like": sum(_unpacked(text) for text in product.values()),
        "names that inventory exports": len(_exported("inventory")),
    }
    figures |= checkout()
    for name, figure in figures.items():
        print(f"{name:<34}{figure}")


def _lengths(text: str) -> list[int]:
    found = [node for node in ast.walk(ast.parse(text)) if isinstance(node, FUNCTION)]
    return [(node.end_lineno or 0) - node.lineno + 1 for node in found]


def _unpacked(text: str) -> int:
    """Count the calls that are given a mapping whose names and types nobody checks."""
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    given = [word.value for call in calls for word in call.keywords if word.arg is None]
    return sum(isinstance(value, ast.Name | ast.Attribute | ast.Call) for value in given)


def _exported(app: str) -> set[str]:
    face = ROOT / app / "services.py"
    tree = ast.parse((face if face.exists() else ROOT / app / "services" / "__init__.py").read_text())
    imported = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    assigned = [node for node in tree.body if isinstance(node, ast.Assign | ast.AnnAssign)]
    names = {alias.asname or alias.name for node in imported for alias in node.names}
    for node in assigned:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names - {"__all__"}


def checkout() -> dict[str, int]:
    """Return the files and calls of our own that one warm checkout of one line passes through."""
    with migrated_server():
        import django

        django.setup()
        logging.disable(logging.INFO)
        from django.test import Client

        from tests import factories

        product = factories.product(stock=1000)
        headers = {"authorization": f"Bearer {factories.access_token(factories.user())}"}
        body = json.dumps({"items": [{"product_id": product.id, "quantity": 1}]})
        client = Client()
        passed: list[tuple[str, str]] = []

        def buy() -> None:
            answer = client.post("/api/v1/orders", body, "application/json", headers=headers, **HOST)
            assert answer.status_code == 201, answer.content

        def note(frame: types.FrameType, event: str, _: object) -> None:
            path = Path(frame.f_code.co_filename)
            if event == "call" and path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] in PACKAGES:
                passed.append((str(path), frame.f_code.co_qualname))

        for _ in range(6):  # statements are prepared after five
            buy()
        sys.setprofile(note)
        buy()
        sys.setprofile(None)
    return {
        "files of a checkout": len({path for path, _ in passed}),
        "functions of a checkout": len(set(passed)),
        "calls of a checkout": len(passed),
    }


if __name__ == "__main__":
    main()
