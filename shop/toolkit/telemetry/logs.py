"""Logs for machines: one JSON object a line, with what the request is called, and without secrets."""

import logging
from functools import lru_cache, partial
from typing import Any

import structlog
from django.db import transaction
from structlog.typing import EventDict

# Names of what must not be read in a log, wherever somebody puts it.
SECRETS = ("password", "token", "authorization", "secret", "cookie", "otp_code", "refresh", "access")


def formatter() -> logging.Formatter:
    """Return the formatter of the setting LOGGING."""
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.ExtraAdder(),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _only_plain,
            _hide_secrets,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(default=str),
        ],
    )


def _only_plain(logger: Any, name: str, event: EventDict) -> EventDict:
    """Leave out the request that Django attaches: it has headers and a body."""
    return {key: value for key, value in event.items() if key != "request"}


def _hide_secrets(logger: Any, name: str, event: EventDict) -> EventDict:
    return {key: "(hidden)" if _is_secret(key) else value for key, value in event.items()}


@lru_cache(maxsize=1024)
def _is_secret(key: str) -> bool:
    return any(word in key.lower() for word in SECRETS)


def tell_at_commit(logger: logging.Logger, event: str, **facts: Any) -> None:
    """Log what the transaction does, if it comes to that."""
    transaction.on_commit(partial(logger.info, event, extra=facts))
