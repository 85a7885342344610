"""How the daemon logs: one line per record on stderr, as text for a person or as JSON for a program.

`logger.info("...", extra={"run_id": ...})` adds a field; the names in FIELDS are printed, others are not.
"""

import logging
import sys
from typing import Final

import orjson

from schemas.envelope import utc_timestamp

FIELDS: Final = ("request_id", "workflow", "worker", "run_id", "attempt_id")

# Names and paths come from users: a line break or a terminal sequence in one must not make up a log line.
_CONTROLS: Final = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029)}
_CONTROLS_BUT_BREAKS: Final = {code: text for code, text in _CONTROLS.items() if code not in (0x09, 0x0A)}


def configure_logging(level: str = "info", form: str = "text") -> None:
    """Send every logger's records from `level` (debug, info, warning, error) up to stderr, text or json."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())


class TextFormatter(logging.Formatter):
    """`2026-11-20T05:00:00.000Z info  scheduler.daemon: message  run_id=...`, a traceback below it."""

    def format(self, record: logging.LogRecord) -> str:
        """One line for a person."""
        fields = "".join(f"  {name}={value}" for name, value in _fields(record).items())
        text = (record.getMessage() + fields).translate(_CONTROLS)
        line = f"{_moment(record)} {record.levelname.lower():<7} {record.name}: {text}"
        trace = _trace(self, record)
        return f"{line}\n{trace.translate(_CONTROLS_BUT_BREAKS)}" if trace else line


class JsonFormatter(logging.Formatter):
    """One JSON object a line: timestamp, level, logger, message, the fields, and any traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """One line for a program."""
        entry: dict[str, object] = {
            "timestamp": _moment(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        trace = _trace(self, record)
        if trace:
            entry["traceback"] = trace
        # a lone surrogate, e.g. from a file name, is no valid JSON text: shown by its escape instead
        clean = {k: v.encode("utf-8", "backslashreplace").decode() for k, v in entry.items() if isinstance(v, str)}
        return orjson.dumps({**entry, **clean}, default=str).decode()


def _moment(record: logging.LogRecord) -> str:
    return utc_timestamp(record.created)


def _fields(record: logging.LogRecord) -> dict[str, object]:
    return {name: getattr(record, name) for name in FIELDS if getattr(record, name, None) is not None}


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    parts = [formatter.formatException(record.exc_info)] if record.exc_info and record.exc_info[0] else []
    return "\n".join(parts + ([formatter.formatStack(record.stack_info)] if record.stack_info else []))
