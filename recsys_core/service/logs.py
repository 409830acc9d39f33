"""Structured logs: one JSON object a line on stderr, without personal data."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import sys
import time

LOGGER = "recsys.service"
SALT = "RECSYS_LOG_SALT"  # the supervisor makes one, so that all workers write the same name for the same shopper


class JsonLines(logging.Formatter):
    """A record as one JSON object: time, level, message, the fields it carries, and the traceback of an error."""

    def format(self, record: logging.LogRecord) -> str:
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        said = {"time": f"{seconds}.{int(record.msecs):03d}Z", "level": record.levelname.lower(), "logger": record.name,
                "message": record.getMessage(), **getattr(record, "fields", {})}
        if record.exc_info:
            said["traceback"] = self.formatException(record.exc_info)
        return json.dumps(said, default=str)


def start_logging() -> logging.Logger:
    """Send all logs of this process to stderr as JSON lines; the service's own logger."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for name in ("uvicorn", "uvicorn.error"):  # a line per start and end of a worker says nothing that ours do not
        logging.getLogger(name).setLevel(logging.WARNING)
    return logging.getLogger(LOGGER)


def pseudonym(user_id: str) -> str:
    """A shopper's name in the logs: the same within a run of the service, and no way back."""
    return hmac.new(os.environ.get(SALT, "").encode(), user_id.encode("utf-8", "replace"), hashlib.sha256).hexdigest()[:16]
