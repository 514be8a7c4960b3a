"""Numbers and their nouns, for messages."""


def counted(number: int, noun: str) -> str:
    """Return a number with its noun in singular or plural: "1 unit", "1,200 units"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
