CODE = "[A-Za-z0-9][A-Za-z0-9._-]{0,31}"


class IdConverter:
    """An integer id in a URL: 1 to 18 digits, so that it fits the column; anything else is no such path."""

    regex = "[1-9][0-9]{0,17}"

    def to_python(self, value: str) -> int:
        return int(value)

    def to_url(self, value: int) -> str:
        return str(value)


class CodeConverter:
    """A code that people give a thing, such as a warehouse."""

    regex = CODE

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value
