"""`fleet`: puts the commands together and turns errors into sentences and exit codes.

Exit codes: 0 all succeeded; 1 the fleet itself failed; 2 usage; 3 some documents failed, each with its code;
129, 130 and 143 ended by SIGHUP, Ctrl-C and SIGTERM.
"""

import sys
from contextlib import suppress

import typer

from app import __version__
from app.cli import demo, flood, process, quarantine, status, worker
from app.errors import FleetError
from app.run.signals import Stopped, stop_on_signals

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


def main() -> None:
    """Run the command line."""
    stop_on_signals()
    try:
        app()
    except Stopped as stopped:
        _say(stopped.__doc__ or "Stopped.")
        sys.exit(stopped.exit_code)
    except FleetError as error:
        _say(f"Error: {error.message}")
        sys.exit(error.exit_code)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        _say(f"Error: {place}{error.strerror or error}.")
        sys.exit(1)
    except Exception as error:
        if not _from_redis(error):
            raise
        _say(f"Error: the Redis server failed: {error}.")
        sys.exit(1)


def _from_redis(error: Exception) -> bool:
    # Not imported for the commands that need none; one that raised it has it.
    module = sys.modules.get("redis.exceptions")
    return module is not None and isinstance(error, module.RedisError)


def _say(sentence: str) -> None:
    with suppress(OSError):  # whoever read it may have gone
        sys.stderr.write(sentence + "\n")


if __name__ == "__main__":
    main()
