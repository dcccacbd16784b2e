"""What keeps the secrets of a process inside it: its core dumps, its children's environment, its log."""

from __future__ import annotations

import copy
import logging
import os
import resource
import sys
import threading
import traceback
from collections.abc import Iterator
from types import TracebackType
from typing import get_args

from pydantic import SecretStr

from contracts.errors import WedSyncError
from workers.settings import Settings

_PREFIX = "WEDSYNC_"
_TALKATIVE = ("httpx", "snowflake.connector")
"""Their routine lines hold whole addresses and statements, which may be personal."""
_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
log = logging.getLogger("wedsync")


def keep_secrets_in() -> None:
    """Make this process one that leaves no core dump, hands no secret to its children and logs no exception's message.

    To be called once the settings are read: it takes their secrets out of the environment.
    """
    leave_no_core_dump()
    for name in secret_variables():
        os.environ.pop(name, None)
    handler = logging.StreamHandler()
    handler.setFormatter(ReticentFormatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda given: _log_uncaught(
        given.exc_type, given.exc_value or given.exc_type(), given.exc_traceback
    )


def leave_no_core_dump() -> None:
    """Let neither this process nor its children write their memory to a file when they crash."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def secret_variables() -> Iterator[str]:
    """Yield the environment variables that hold secrets."""
    for name, field in Settings.model_fields.items():
        if field.annotation is SecretStr or SecretStr in get_args(field.annotation):
            yield f"{_PREFIX}{name.upper()}"


class ReticentFormatter(logging.Formatter):
    """Writes where an exception came from and of what type it was; its message, which may quote data, stays out."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; beside an exception only the first line of its text, as asyncio appends representations."""
        if record.exc_info:
            record = copy.copy(record)
            record.msg, record.args, record.exc_text = record.getMessage().partition("\n")[0], None, None
        return super().format(record)

    def formatException(self, ei: _ExcInfo) -> str:  # noqa: N802 - the name is logging's
        """Return the stacks and types of an exception and of those it came from."""
        return "\nraised from\n".join(_told(error) for error in _chain(ei[1]))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _told(error: BaseException) -> str:
    said = f": {error}" if isinstance(error, WedSyncError) else ""
    return f"{''.join(traceback.format_tb(error.__traceback__))}{type(error).__qualname__}{said}"


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    log.critical("an uncaught exception ended a thread or the process", exc_info=(kind, error, trace))
