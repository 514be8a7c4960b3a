"""A vocabulary is one enum: what a page lists is what the code has."""

import re
from pathlib import Path

from inventory.imports.vocabulary import ImportStatus
from inventory.stock.vocabulary import Reason, State

FILES = (Path(__file__).resolve().parents[2] / "docs" / "files.md").read_text()


def test_the_page_of_files_lists_the_reasons_that_people_may_give():
    (listed,) = re.findall(r"^- \*\*Reasons\*\* are (.+)\.$", FILES, re.MULTILINE)
    assert re.findall(r"`(\w+)`", listed) == list(Reason.MANUAL)


def test_subsets_have_members_alone():
    assert set(Reason.MANUAL) < set(Reason.values)
    assert set(State.OPEN) < set(State.values)
    assert set(ImportStatus.UNFINISHED) | set(ImportStatus.LOADED) < set(ImportStatus.values)
