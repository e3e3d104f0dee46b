"""How the process logs: set up once, by the command line, on standard error."""

import logging
import sys
import threading
import traceback
from collections.abc import Callable, MutableMapping
from types import TracebackType
from typing import Any, Literal, TextIO

import structlog
from pydantic import BaseModel, ConfigDict, Field
from structlog.typing import FilteringBoundLogger

from monitor.printable import printable

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


def set_up_logs(
    settings: LogSettings, stream: TextIO | None = None, *, mask: Callable[[str], str] = str
) -> FilteringBoundLogger:
    """Send the logs of structlog and of the libraries (warnings and worse) to `stream`, standard error if None.

    Every line, tracebacks too, goes through `mask` before it is written. Standard output is left to the answers of
    commands. May be called again; the last call holds.
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
    # Not structlog's own tracebacks for consoles, which show the values of all variables: passwords, customers' texts.
    last: list[Callable[..., Any]] = [structlog.processors.format_exc_info]
    if settings.format == "json":
        last += [structlog.processors.EventRenamer("message"), structlog.processors.JSONRenderer()]
    else:
        console = structlog.dev.ConsoleRenderer(
            colors=target.isatty(), pad_event_to=30, exception_formatter=structlog.dev.plain_traceback
        )
        last += [_printable, console]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *last,
            _line_through(mask),
        ],
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


def mask_tracebacks(mask: Callable[[str], str]) -> None:
    """From now on, what Python itself prints of an error that nobody catches goes through `mask`, in all threads."""

    def show(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
        if not issubclass(kind, SystemExit):
            sys.stderr.write(mask("".join(traceback.format_exception(kind, error, trace))))

    sys.excepthook = show
    threading.excepthook = lambda args: show(args.exc_type, args.exc_value, args.exc_traceback)


def _line_through(mask: Callable[[str], str]) -> Callable[..., Any]:
    """The last processor, which is given a finished line."""

    def masked(_logger: Any, _method: str, line: Any) -> Any:
        return mask(line)

    return masked


def _printable(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """One record is one line, whatever a library or a trace puts into it; only tracebacks have several."""
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = printable(value, keep="\n\t" if key in {"exception", "stack"} else "")
    return event
