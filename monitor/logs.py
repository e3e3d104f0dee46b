"""How the process logs: set up once, by the command line, on standard error."""

import logging
import sys
from collections.abc import Callable
from typing import Any, Literal, TextIO

import structlog
from pydantic import BaseModel, ConfigDict, Field
from structlog.typing import FilteringBoundLogger

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class LogSettings(BaseModel):
    """What is logged, and how it looks."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["console", "json"] = Field(
        default="console", description="Lines for people, or one JSON object a line for a log collector."
    )
    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least important level that is written."
    )


def set_up_logs(settings: LogSettings, stream: TextIO | None = None) -> FilteringBoundLogger:
    """Send the logs of structlog and of the libraries (warnings and worse) to `stream`, standard error if None.

    Standard output is left to the answers of commands. May be called again; the last call holds.
    """
    target = sys.stderr if stream is None else stream
    level = _LEVELS[settings.level]
    shared: list[Callable[..., Any]] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    if settings.format == "json":
        last: list[Callable[..., Any]] = [
            structlog.processors.format_exc_info,
            structlog.processors.EventRenamer("message"),
            structlog.processors.JSONRenderer(),
        ]
    else:
        last = [structlog.dev.ConsoleRenderer(colors=target.isatty(), pad_event_to=30)]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
    )
    output = logging.StreamHandler(target)
    output.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [output]
    root.setLevel(max(level, logging.WARNING))
    own = logging.getLogger("tracewatch")
    own.setLevel(level)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    log: FilteringBoundLogger = structlog.get_logger("tracewatch")
    return log
