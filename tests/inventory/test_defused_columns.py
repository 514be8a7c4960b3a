"""The name of a column that a spreadsheet would run is harmless in every file that is written, and read as it was."""

import csv
import io
from pathlib import Path
from zipfile import ZipFile

import pytest
from django.core.management import CommandError, call_command

from shop.toolkit.files.sheets import FORMATS, open_sheet, write_sheet
from tests import factories
from tests.admin.staff_client import IMPORTS, signed_in
from tests.admin.staff_client import upload as upload_as_staff
from tests.inventory.uploads import URL, upload

FORMULAS = ["=cmd|x", "+x()", "-x()", "@SUM(A1)", "\uff1dcmd|x"]
# Read, the blanks at both ends of a name are gone; written, a name may begin with any.
WRITTEN = [*FORMULAS, "'=twice", "\t=x", "\r=x", "\n=x"]
MAPPING = '{"code": "sku", "units": "quantity"}'


def header_of(content: bytes) -> list[str]:
    return next(csv.reader(io.StringIO(content.decode())))


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("name", WRITTEN)
def test_every_file_is_written_with_harmless_names_of_columns(tmp_path, kind, name):
    path = tmp_path / "file"
    write_sheet(path, kind, ["sku", name], [["MUG", "1"]])

    if kind == "csv":
        assert header_of(path.read_bytes()) == ["sku", f"'{name}"]
    else:
        assert f">'{name[:1].strip()}" in ZipFile(path).read("xl/worksheets/sheet1.xml").decode()
    with open_sheet(path, max_bytes=1 << 20) as sheet:
        assert sheet.columns == ["sku", name.strip()]


@pytest.mark.parametrize("name", FORMULAS)
def test_the_refused_rows_that_the_api_and_the_staff_s_page_send(database, staff, name):
    document = upload(staff, f"code,units,{name}\nNONE,1,x\n", map=MAPPING).json()
    manager = signed_in("Inventory manager")
    checked = upload_as_staff(manager, f"handle,title,variant sku,variant inventory qty,{name}\nx,x,NONE,1,x\n")
    page = checked.headers["Location"].replace("change/", "errors/")

    for client, address, before in ((staff, f"{URL}/{document['id']}/errors", 2), (manager, page, 4)):
        content = b"".join(client.get(address).streaming_content)
        assert header_of(content)[before:] == [f"'{name}", "error"]
    assert page.startswith(IMPORTS)

    factories.product(sku="NONE", stock=5)
    mended = b"".join(staff.get(f"{URL}/{document['id']}/errors").streaming_content)
    assert upload(staff, mended, map=MAPPING).json()["status"] == "applied"


COMMANDS = {
    "import_stock": ["--map", "code=sku", "--map", "units=quantity"],
    "import_products": ["--map", "code=sku", "--map", "title=name", "--map", "units=price"],
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", FORMULAS)
def test_the_refused_rows_that_a_command_keeps(database, tmp_path, command, name):
    path, errors = tmp_path / "levels.csv", tmp_path / "errors.csv"
    path.write_text(f"code,units,title,{name}\nMUG,none,Mug,x\n", newline="")

    with pytest.raises(CommandError):
        call_command(command, str(path), *COMMANDS[command], errors=errors)

    assert header_of(errors.read_bytes()) == ["code", "units", "title", f"'{name}", "error"]
    factories.product(sku="MUG", stock=2)
    _mend(errors)
    call_command(command, str(errors), *COMMANDS[command])


def _mend(path: Path) -> None:
    path.write_text(path.read_text().replace("MUG,none", "MUG,5"))
