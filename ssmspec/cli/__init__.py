"""The command line: one command a file, each a few lines over a function of the library."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module

import typer

from ssmspec._version import __version__
from ssmspec.errors import SsmspecError
from ssmspec.naming import printable

COULD_NOT_JUDGE = 2
INTERRUPTED = 130
BROKEN_PIPE = 141

BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Set to 1 unless the user set them: batches of small matrices gain nothing from BLAS threads, and
on a busy machine those wait for one another ten times longer than they compute."""

USES_TORCH = ("train", "evaluate")
"""Commands whose matrices are large, and whose library takes its threads from those variables."""


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ssmspec {__version__}")
        raise typer.Exit


COMMANDS = {
    "analyze": "ssmspec.cli.analyze",
    "check": "ssmspec.cli.check",
    "compare": "ssmspec.cli.compare",
    "reinit": "ssmspec.cli.reinit",
    "plot": "ssmspec.cli.plot",
    "train": "ssmspec.cli.train",
    "evaluate": "ssmspec.cli.evaluate",
    "list": "ssmspec.cli.tables",
    "explain": "ssmspec.cli.explain",
}
"""Name -> the module whose `command` it is, in the order of `--help`."""


def build(arguments: Sequence[str] = ()) -> typer.Typer:
    """The application.

    Args:
        arguments: a command line; where it begins with a command, only that one is loaded.
    """
    app = typer.Typer(
        name="ssmspec",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback()
    def about(
        version: bool = typer.Option(
            False, "--version", callback=_version, is_eager=True, help="Print the version."
        ),
    ) -> None:
        """Read a state-space model's poles and say what it can and cannot hear."""

    named = arguments[0] if arguments and arguments[0] in COMMANDS else None
    for name, module in COMMANDS.items():
        if named in (None, name):
            app.command(name)(import_module(module).command)
    return app


def main() -> None:
    """Run the command line.

    Exit codes: 0 good, 1 the gate failed, 2 could not judge. Whatever goes wrong, a crash never
    looks like a verdict.
    """
    if sys.argv[1:2] not in [[name] for name in USES_TORCH]:
        for variable in BLAS_THREADS:
            os.environ.setdefault(variable, "1")
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code; errors become one sentence on stderr."""
    try:
        result = build(arguments)(args=arguments, prog_name="ssmspec", standalone_mode=False)
    except BrokenPipeError:
        # The reader of our stdout has gone; what is still buffered has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except (KeyboardInterrupt, typer.Abort):
        _say("interrupted")
        return INTERRUPTED
    except Exception as error:
        if "--debug" in arguments:
            traceback.print_exc()
        _say(_sentence(error))
        return COULD_NOT_JUDGE
    return result if isinstance(result, int) else 0


def _sentence(error: Exception) -> str:
    if isinstance(error, SsmspecError):
        return str(error)
    explain = getattr(error, "format_message", None)  # typer's usage errors
    if explain is not None:
        return f"{explain()} (try ssmspec --help)"
    if isinstance(error, MemoryError):
        return "out of memory"
    if isinstance(error, OSError) and error.strerror:
        return (
            f"{printable(str(error.filename))}: {error.strerror}"
            if error.filename
            else error.strerror
        )
    return f"internal error: {type(error).__name__}: {error} (--debug shows where)"


def _say(sentence: str) -> None:
    line = " ".join(sentence.split())
    sys.stderr.write(f"ssmspec: error: {line}\n")
