"""The application that the commands register with, and what they have in common: options, exit codes, output."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console

from monitor.masking import Mask
from monitor.printable import printable
from monitor.versions import __version__

if TYPE_CHECKING:
    from monitor.config import Config

NO: Final = 1
WRONG: Final = 2
UNREACHABLE: Final = 3

# What a command says goes through it; it knows the secrets as soon as a configuration is loaded.
MASK: Final = Mask()

app = typer.Typer(
    name="tracewatch",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    add_completion=False,
    help=(
        "Watch the quality of a GenAI application in production: traces from Kafka are judged with MLflow scorers, "
        "candidate versions are compared on them, and regressions become metrics and alerts.\n\n"
        "New here? `tracewatch demo` shows all of it on your machine. Then `tracewatch init`, "
        "`tracewatch check -c tracewatch.yaml`, `tracewatch run -c tracewatch.yaml`.\n\n"
        "Exit codes: 0 done, 1 the answer is no, 2 the command line or configuration is wrong, "
        "3 a service could not be reached."
    ),
)

ConfigFiles = Annotated[
    list[Path], typer.Option("-c", "--config", metavar="FILE", help="Configuration; may repeat, later files win.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output, and nothing else.")]
FailOnRegression = Annotated[bool, typer.Option("--fail-on-regression", help="Exit 1 if a candidate regressed.")]
Reasons = Annotated[list[str] | None, typer.Option(metavar="SLUG", help="Only letters with this reason; may repeat.")]
Since = Annotated[str | None, typer.Option(metavar="TIME", help="From then on: ISO 8601, or 2h for 2 hours ago.")]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="Before then, written in the same way.")]


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it
    if wanted:
        sys.stdout.write(f"tracewatch {__version__}\n")
        raise typer.Exit


@app.callback()
def _of_every_command(
    *,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def load(paths: list[Path]) -> "Config":
    """The configuration of these files; its secrets are masked from now on.

    Raises:
        ConfigError: it is wrong.
    """
    from monitor.config import load_config  # noqa: PLC0415 - half of the packages come with it
    from monitor.logs import mask_tracebacks  # noqa: PLC0415

    loaded = load_config(paths, os.environ)
    MASK.learn(loaded, os.environ)
    mask_tracebacks(MASK)
    return loaded


def ask(question: str) -> None:
    """Go on after a yes; nobody to ask is a wrong command line, and a no is an answer."""
    if not sys.stdin.isatty():
        errors().print("nobody is there to be asked: give --yes", style="red", markup=False)
        raise typer.Exit(WRONG)
    if not typer.confirm(question):
        raise typer.Exit(NO)


def errors() -> Console:
    """Where people read what is not the answer itself."""
    return Console(stderr=True, soft_wrap=True, highlight=False)


def complain(error: Exception) -> None:
    """Say what is wrong, without secrets and without what would act on a terminal."""
    text = printable(MASK(str(error) or type(error).__name__), keep="\n")
    errors().print(text, style="red", markup=False)
