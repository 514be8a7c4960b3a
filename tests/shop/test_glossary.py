"""The glossary and the OpenAPI document use the same words: each has an entry, once, and no entry is invented."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance import document

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "glossary.md").read_text()
# They name a field to sort by, or a currency: an entry for each would explain nothing.
OPEN_VALUES = ("ordering", "currency")


def entries(heading: str) -> list[str]:
    """Return the first cell of each row of a section's table."""
    (section,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    return re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)


def parts() -> Iterator[dict[str, Any]]:
    """Yield each object of the document, but for its examples, which have fields of their own."""
    left: list[Any] = [document()["components"], document()["paths"]]
    while left:
        part = left.pop()
        if isinstance(part, dict):
            yield part
            left += [inner for name, inner in part.items() if name not in ("example", "examples")]
        elif isinstance(part, list):
            left += part


def fields() -> set[str]:
    return {name for part in parts() if part.get("type") == "object" for name in part.get("properties", {})}


def parameters() -> set[str]:
    return {part["name"] for part in parts() if part.get("in") in ("query", "path", "header")}


def values() -> set[str]:
    named = {name: inner for part in parts() for name, inner in part.get("properties", {}).items()}
    skipped = [named[name].get("enum") for name in OPEN_VALUES if name in named]
    lists = [part["schema"]["enum"] for part in parts() if part.get("name") in OPEN_VALUES and "in" in part]
    found = [part["enum"] for part in parts() if isinstance(part.get("enum"), list)]
    return {
        value for values in found if values not in [*skipped, *lists] for value in values if isinstance(value, str)
    } - {""}


@pytest.mark.parametrize("heading", ["Fields", "Parameters", "Values"])
def test_a_word_has_one_entry_in_alphabetical_order(heading):
    found = entries(heading)
    assert found == sorted(set(found), key=str.lower)


def test_every_field_of_the_document_has_an_entry_and_every_entry_is_a_field():
    assert len(fields()) > 100
    assert set(entries("Fields")) == fields()


def test_every_parameter_that_is_no_field_has_an_entry_and_every_entry_is_a_parameter():
    assert set(entries("Parameters")) == parameters() - fields()


def test_every_value_of_a_vocabulary_has_an_entry_and_every_entry_is_a_value():
    assert set(entries("Values")) == values()


def test_a_value_is_of_a_field_that_has_an_entry():
    (section,) = re.findall(r"^## Values\n(.*)", PAGE, re.MULTILINE | re.DOTALL)
    rows = re.findall(r"^\| `[^`]+` \| ([^|]+) \|", section, re.MULTILINE)
    assert {name for row in rows for name in re.findall("`([^`]+)`", row)} <= {*entries("Fields")}


def test_every_noun_has_a_meaning_of_its_own():
    (section,) = re.findall(r"^## Nouns\n(.*?)(?=^## )", PAGE, re.MULTILINE | re.DOTALL)
    rows = re.findall(r"^\| ([^|`]+) \| ([^|]+) \|$", section, re.MULTILINE)[1:]
    assert len(rows) > 20
    assert len({noun for noun, _ in rows}) == len({meaning for _, meaning in rows}) == len(rows)
