"""One readable line per step on the console, instead of one per Dagster event."""

import logging
import sys

import dagster as dg

CONSOLE = {"loggers": {"console": {}}}  # the run config that switches it on
SHOWN = ("STEP_START", "STEP_SUCCESS", "STEP_FAILURE")


class _Line(logging.Formatter):
    """`12:03:04  clean_items  Finished execution of step "clean_items" in 1.2s.`"""

    def format(self, record: logging.LogRecord) -> str:
        meta = getattr(record, "dagster_meta", {})
        message = meta.get("orig_message") or record.getMessage()
        step = meta.get("step_key") or meta.get("job_name") or ""
        return f"{self.formatTime(record, '%H:%M:%S')}  {step:<26}  {message}"


class _Worth(logging.Filter):
    """Steps as they start, wait and end, and what the code itself has to say."""

    def filter(self, record: logging.LogRecord) -> bool:
        event = (getattr(record, "dagster_meta", {}) or {}).get("dagster_event")
        if event is None:
            return record.levelno >= logging.INFO
        waits = event.event_type_value == "ENGINE_EVENT" and "blocked by" in (event.message or "")
        return waits or event.event_type_value in SHOWN


@dg.logger(description="Steps and messages, one line each.")
def console(context: dg.InitLoggerContext) -> logging.Logger:
    """The console logger of every job here."""
    logger = logging.Logger("progress", logging.DEBUG)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Line())
    handler.addFilter(_Worth())
    logger.addHandler(handler)
    return logger
