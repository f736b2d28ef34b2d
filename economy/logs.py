"""Logging to standard error: a line or a JSON object each; of a request it says which one."""

import json
import logging
import logging.config
from datetime import UTC, datetime
from typing import Any

from economy.api.requests import asked, request_id
from economy.settings import Settings

OURS = ("economy", "uvicorn.error", "celery")
OTHERS = (
    "asyncio",
    "kombu",
    "opentelemetry",
    "py.warnings",
    "sqlalchemy",
)  # of interest when something is wrong


class _RequestIdFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = request_id()
        return True


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        request = asked()
        if request is not None:
            line["request_id"] = request.request_id
            line["actor"] = request.actor
            line["operation"] = request.operation
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def configure_logging(settings: Settings) -> None:
    """Ours, the server's and the worker's alike."""
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "filters": {"request_id": {"()": _RequestIdFilter}},
            "formatters": {
                "line": {
                    "format": "%(asctime)s %(levelname)s %(name)s [%(request_id)s] %(message)s"
                },
                "json": {"()": _JsonFormatter},
            },
            "handlers": {
                "stderr": {
                    "class": "logging.StreamHandler",
                    "formatter": "json" if settings.logs_json else "line",
                    "filters": ["request_id"],
                }
            },
            "loggers": {
                name: {"handlers": ["stderr"], "level": level}
                for names, level in ((OURS, settings.log_level), (OTHERS, "WARNING"))
                for name in names
            },
        }
    )
