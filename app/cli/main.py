"""`fleet`: puts the commands together and turns errors into sentences and exit codes.

Exit codes: 0 all succeeded; 1 the fleet itself failed; 2 usage; 3 some documents failed, each with its code;
130 and 143 ended by Ctrl-C and SIGTERM.
"""

import signal
import sys
from types import FrameType

import typer

from app import __version__
from app.cli import demo, flood, process, quarantine, status, worker
from app.errors import FleetError

app = typer.Typer(
    name="fleet",
    help="Turn PDFs into text, thumbnails and facts with a fleet of Celery workers that follows its queue.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 all succeeded, 1 the fleet failed, 2 usage, 3 some documents failed, 130 Ctrl-C.",
)
app.command("demo")(demo.demo)
app.command("process")(process.process)
app.command("worker")(worker.worker)
app.command("flood")(flood.flood)
app.command("status")(status.status)
app.add_typer(quarantine.app, name="quarantine")


class StoppedError(FleetError):
    """Stopped: everything that was started has been ended."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.code = 128 + number


def _version(wanted: bool) -> None:  # Typer calls it so
    if wanted:
        typer.echo(f"pdf-fleet {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Say the version."
    ),
) -> None:
    """Options before the command."""


def _stop(number: int, _frame: FrameType | None) -> None:
    # The first signal unwinds what was started; a second must not interrupt that.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise StoppedError(number)


def main() -> None:
    """Run the command line."""
    signal.signal(signal.SIGINT, _stop)
    signal.signal(signal.SIGTERM, _stop)
    try:
        app()
    except StoppedError as stopped:
        _say(stopped.message)
        sys.exit(stopped.code)
    except FleetError as error:
        _say(f"Error: {error.message}")
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has gone; there is nobody to tell
        sys.exit(1)


def _say(sentence: str) -> None:
    sys.stderr.write(sentence + "\n")


if __name__ == "__main__":
    main()
