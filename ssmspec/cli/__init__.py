"""The command line: one command a file, each a few lines over a function of the library."""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from importlib import import_module

import typer

from ssmspec._version import __version__
from ssmspec.cli.remote_progress import tell_of_bytes
from ssmspec.cli.streams import let_go_of_stdout, settle
from ssmspec.errors import SsmspecError
from ssmspec.naming import printable

COULD_NOT_JUDGE = 2
INTERRUPTED = 130
BROKEN_PIPE = 141
TERMINATED = 143

BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Set to 1 unless the user set them: batches of small matrices gain nothing from BLAS threads, and
on a busy machine those wait for one another ten times longer than they compute."""

COMPLETION = "_SSMSPEC_COMPLETE"
"""Set where a shell asks for completions, which need every command's options."""

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
    "track": "ssmspec.cli.track",
    "reinit": "ssmspec.cli.reinit",
    "export": "ssmspec.cli.export",
    "plot": "ssmspec.cli.plot",
    "train": "ssmspec.cli.train",
    "evaluate": "ssmspec.cli.evaluate",
    "list": "ssmspec.cli.listing",
    "explain": "ssmspec.cli.explain",
}
"""Name -> the module whose `command` it is, in the order of `--help`."""

SUMMARIES = {
    "analyze": "Measure frequency coverage, aliasing, memory and entanglement, layer by layer.",
    "check": "Judge checkpoints: exit 0 when all pass, 1 when one fails, 2 when it cannot be told.",
    "compare": "Set two models side by side: metrics, poles that moved, tensors that changed.",
    "track": "Follow the checkpoints of one run, and name the step at which each rule first fires.",
    "reinit": "Write the poles of an initialization scheme into a checkpoint of your own.",
    "export": "Write A_bar, B_bar, C and D of time-invariant layers, to run them step by step.",
    "plot": "Draw poles, coverage, entanglement, time constants, kernels, a sweep or a training.",
    "train": "Train a model from an initialization scheme, and watch its spectrum move.",
    "evaluate": "Test a trained model; also at a lower rate, or with short kernels.",
    "list": "List families, metrics, rules, presets, schemes, formats, plots or tasks.",
    "explain": "Explain a rule, a metric, a scheme, a family, a preset or a task.",
}
"""Their first lines, so that `ssmspec --help` need not load the commands themselves."""


def build(arguments: Sequence[str] = ()) -> typer.Typer:
    """The application.

    Args:
        arguments: a command line; where it begins with a command, only that one is loaded, and
            where it names none, none is.
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

    wanted = COMMANDS.keys() & set(arguments[:1]) or COMMANDS.keys()
    listed_only = not COMMANDS.keys() & set(arguments) and COMPLETION not in os.environ
    for name, module in COMMANDS.items():
        if listed_only:
            app.command(name, help=SUMMARIES[name])(_never_run)
        elif name in wanted:
            app.command(name)(import_module(module).command)
    return app


def _never_run() -> None:
    """Stand in for a command where the command line names none."""
    raise AssertionError("a command was run that the command line does not name")


def main() -> None:
    """Run the command line.

    Exit codes: 0 good, 1 the gate failed, 2 could not judge; and as shells count signals, 130
    interrupted, 141 nobody reads the output any more, 143 terminated. Whatever goes wrong, a crash
    never looks like a verdict.
    """
    settle()
    if not sys.warnoptions and "--debug" not in sys.argv:
        warnings.simplefilter("ignore")  # what numpy and matplotlib find in a file is for rules
    if sys.argv[1:2] not in [[name] for name in USES_TORCH]:
        for variable in BLAS_THREADS:
            os.environ.setdefault(variable, "1")
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code; errors become one sentence on stderr."""
    try:
        tell_of_bytes(arguments)
        result = build(arguments)(args=arguments, prog_name="ssmspec", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        let_go_of_stdout()  # its reader has gone
        return BROKEN_PIPE
    except (KeyboardInterrupt, typer.Abort):
        _say("interrupted")
        return INTERRUPTED
    except SystemExit as stop:
        return TERMINATED if stop.code == TERMINATED else COULD_NOT_JUDGE
    except Exception as error:
        if "--debug" in arguments:
            traceback.print_exc()
        _say(_sentence(error))
        _leave_stdout()
        return COULD_NOT_JUDGE
    return result if isinstance(result, int) else 0


def _leave_stdout() -> None:
    """Write what stdout still holds, or drop it where that is what went wrong."""
    try:
        sys.stdout.flush()
    except OSError:
        let_go_of_stdout()


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
    line = printable(" ".join(sentence.split()))
    sys.stderr.write(f"ssmspec: error: {line}\n")
