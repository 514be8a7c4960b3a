"""Reads variables of the environment, and stops with a sentence where one is wrong."""

import sys

import environ

from shop.toolkit.rates import Rate, read_rate

env = environ.Env()


def required(name: str, hint: str) -> str:
    """Return a variable that has no safe default, or stop with a sentence instead of a traceback."""
    value: str = env.str(name, default="")
    if not value:
        sys.exit(f"{name} is not set. {hint}")
    return value


def whole_number(name: str, *, default: int, at_least: int, at_most: int | None = None) -> int:
    """Return a variable that is a whole number, or stop with a sentence."""
    text = env.str(name, default=str(default)) or str(default)
    highest = f" and at most {at_most}" if at_most else ""
    if not (text.isascii() and text.isdigit() and at_least <= int(text) <= (at_most or int(text))):
        sys.exit(f"{name} is {text!r}; a whole number of at least {at_least}{highest} is needed.")
    return int(text)


def choice(name: str, *, default: str, choices: tuple[str, ...]) -> str:
    """Return a variable that is one of some words, or stop with a sentence."""
    word: str = env.str(name, default=default)
    if word not in choices:
        sys.exit(f"{name} is {word!r}; one of {', '.join(choices)} is needed.")
    return word


def words(name: str, *, default: list[str]) -> list[str]:
    """Return a variable that is a list with commas between."""
    return [word.strip() for word in env.list(name, default=default) if word.strip()]


def rate(name: str, *, default: str) -> Rate | None:
    """Return a variable that is a rate such as 10/15m, None when it is off, or stop with a sentence."""
    text = env.str(name, default=default)
    try:
        return None if text == "off" else read_rate(text)
    except ValueError:
        sys.exit(f"{name} is {text!r}; a rate such as 100/s, 10/15m or 1000/d is needed, or off.")


def strong(name: str, key: str) -> str:
    """Return a key that nobody guesses, or stop with a sentence."""
    if len(key) < 32 or len(set(key)) < 8 or key.startswith("django-insecure-"):
        sys.exit(f"{name} is weak: at least 32 random characters are needed. `openssl rand -base64 48` makes some.")
    return key
