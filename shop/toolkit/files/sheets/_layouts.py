"""Which column of a file is which field: by the names of the columns, or by what the caller says of them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from shop.toolkit.files.sheets._text import UnreadableFile, fold

# Of a cell, in what is said of it: with all of it beside the row, the file of refused rows could not be read again.
MAX_VALUE = 200
MAX_LISTED = 20  # columns that a message names
ERROR = "error"  # what is wrong with a row, in the files of refused rows; a file that is loaded may have it


@dataclass(frozen=True)
class RefusedRow:
    """A row that was refused: where it stands, what it says there, and what would be right."""

    line: int
    column: str
    value: str
    detail: str

    @property
    def sentence(self) -> str:
        return f"line {self.line}, {self.column} {self.value!r}: {self.detail}"


@dataclass(frozen=True)
class Layout:
    """In which columns the fields stand. `handle` and `options` are the places of those, in files of variants."""

    name: str
    columns: list[str]
    places: Mapping[str, int]
    handle: int | None = None
    options: Sequence[int] = ()

    @property
    def sentence(self) -> str:
        said = ", ".join(f"{field} from {self.columns[place]!r}" for field, place in self.places.items())
        used = {*self.places.values(), self.handle, *self.options}
        unused = [column for place, column in enumerate(self.columns) if place not in used and column]
        return f"{self.name}: {said}" + (f"; not used: {', '.join(unused)}" if unused else "")

    def misfit(self, cells: list[str]) -> str | None:
        """Tell what is wrong with the number of cells in a row. Empty ones behind the last column are no matter."""
        width = len(self.columns)
        if len(cells) == width or (len(cells) > width and not any(cells[width:])):
            return None
        return f"the row has {len(cells)} cells where the header has {width}; empty cells count as well"

    def refused(self, line: int, cells: list[str], field: str, detail: str) -> RefusedRow:
        """Return a row that is refused for what it says in `field`, named as the file does."""
        place = self.places.get(field)
        if place is None or place >= len(cells):
            return RefusedRow(line, field, "", detail)
        value = cells[place]
        said = value if len(value) <= MAX_VALUE else f"{value[:MAX_VALUE]}..."
        return RefusedRow(line, self.columns[place], said, detail)

    def mendable(self, refused: Iterable[tuple[list[str], RefusedRow]]) -> tuple[list[str], Iterator[list[str]]]:
        """Return refused rows as a table of this layout, with the error beside each, to be mended and loaded again."""
        names = [column.casefold() for column in self.columns]
        header = self.columns if ERROR in names else [*self.columns, ERROR]
        return header, _with_errors(refused, len(header), names.index(ERROR) if ERROR in names else -1)


def _with_errors(refused: Iterable[tuple[list[str], RefusedRow]], width: int, place: int) -> Iterator[list[str]]:
    for cells, row in refused:
        mendable = [*cells, *[""] * width][:width]
        surplus = cells[width if place >= 0 else width - 1 :]
        mendable[place] = row.sentence
        # Behind everything else, where they are refused again as long as they are there.
        yield mendable + surplus


def _listed(columns: Sequence[str]) -> str:
    more = len(columns) - MAX_LISTED
    return ", ".join(columns[:MAX_LISTED]) + (f" and {more} more" if more > 0 else "")


def folded(columns: Iterable[str]) -> dict[str, int]:
    """Return the places of columns by their names, however they are written."""
    return {fold(name): place for place, name in enumerate(columns)}


def by_name(
    columns: Sequence[str], *, required: Sequence[str], optional: Sequence[str], ignored: Sequence[str]
) -> Layout:
    """Return the own layout, whose columns are named like the fields.

    Raises UnreadableFile when columns are missing or not known.
    """
    named = {name.replace(" ", "_"): place for name, place in folded(columns).items()}
    missing = [field for field in required if field not in named]
    unknown = [columns[place] for name, place in named.items() if name not in (*required, *optional, *ignored, ERROR)]
    if not missing and not unknown:
        places = {field: named[field] for field in (*required, *optional) if field in named}
        return Layout("own layout", list(columns), places)
    said = f"there is no column {missing[0]}" if missing else f"the column {unknown[0]!r} is not known"
    raise UnreadableFile(
        f"The file has the columns {_listed(columns)}: {said}. The own layout has {' and '.join(required)}, and may "
        f"have {', '.join(optional)}; Shopify's files are known by their columns; for any other, say which column is "
        "which field (map)."
    )


def by_mapping(
    columns: Sequence[str], mapping: Mapping[str, str], *, required: Sequence[str], optional: Sequence[str]
) -> Layout:
    """Return the layout that `mapping` (column to field) says; columns that are named like other fields are those.

    Raises UnreadableFile when it does not fit the file.
    """
    fields, known = (*required, *optional), folded(columns)
    places: dict[str, int] = {}
    for column, field in mapping.items():
        place = known.get(fold(column))
        if field not in fields:
            raise UnreadableFile(f"There is no field {field!r} to map {column!r} to; there are {', '.join(fields)}.")
        if place is None:
            raise UnreadableFile(f"The file has no column {column!r}; it has {_listed(columns)}.")
        if field in places:
            raise UnreadableFile(f"Two columns are mapped to {field}; which of them counts?")
        places[field] = place
    for field in fields:
        place = known.get(field.replace("_", " "))
        if field not in places and place is not None and place not in places.values():
            places[field] = place
    missing = [field for field in required if field not in places]
    if missing:
        raise UnreadableFile(f"No column is mapped to {missing[0]}; the file has {_listed(columns)}.")
    return Layout("mapped", list(columns), places)
