"""The commands of `fleet`, put together."""

import typer

from app import __version__
from app.cli.commands import beat, check, demo, flood, process, quarantine, report, status, watch, worker

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
app.command("beat")(beat.beat)
app.command("check")(check.check)
app.command("flood")(flood.flood)
app.command("status")(status.status)
app.command("watch")(watch.watch)
app.command("report")(report.report)
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
