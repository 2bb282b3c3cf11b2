import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from app.cli import main, root
from app.errors import FleetError, ServerError, UsageError
from app.runtime.signals import Stopped
from tests.support.signals import handlers_kept


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (FleetError("No."), 1, "Error: No.\n"),
        (UsageError("Not so."), 2, "Error: Not so.\n"),
        (ServerError("The Redis server failed: OOM."), 1, "Error: The Redis server failed: OOM.\n"),
        (PermissionError(13, "Permission denied", "/x"), 1, "Error: /x: Permission denied.\n"),
        (OSError("odd"), 1, "Error: odd.\n"),
        (
            ModuleNotFoundError("No module", name="reportlab"),
            1,
            "Error: reportlab is not installed: pip install 'pdf-fleet[local]'.\n",
        ),
        (Stopped(15), 143, "Stopped: every process that this command started has ended.\n"),
    ],
)
def test_errors_and_signals_become_a_sentence_and_an_exit_code(
    error: BaseException,
    code: int,
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(root, "app", fail)
    with handlers_kept(), pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == code
    assert capsys.readouterr().err == sentence


@pytest.mark.parametrize("error", [KeyError("x"), ModuleNotFoundError("No module", name="app.nothing")])
def test_a_bug_keeps_its_traceback(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(root, "app", fail)
    with handlers_kept(), pytest.raises(type(error)):
        main.main()


SIGNALLED = """
import os, sys

class Finder:
    def find_spec(self, name, *_):
        if name == "typer":
            os.kill(os.getpid(), {number})

sys.meta_path.insert(0, Finder())
from app.cli.main import main
main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_commands_are_imported_ends_in_a_sentence(number: signal.Signals) -> None:
    script = SIGNALLED.format(number=int(number))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 128 + number
    assert done.stderr == "Stopped: every process that this command started has ended.\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_interpreter_ends_changes_nothing(number: signal.Signals) -> None:
    script = f"""
import atexit, os, sys
from app.cli.main import main

atexit.register(os.kill, os.getpid(), {int(number)})
sys.argv[1:] = ["--version"]
main()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("pdf-fleet ")


def test_the_list_of_commands_imports_none_of_them() -> None:
    script = """
import sys
from app.cli.main import main
sys.argv = ["fleet", "--help"]
try:
    main()
finally:
    print(sorted(name for name in sys.modules if name.startswith("app.")), "pydantic" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = ["app.cli", "app.cli.main", "app.cli.root", "app.errors", "app.runtime", "app.runtime.signals"]
    assert done.stdout.splitlines()[-1] == f"{loaded} False"


def test_each_command_is_a_module_and_is_listed_with_the_first_line_of_its_own_help() -> None:
    group = typer.main.get_command(root.app)
    modules = {path.stem for path in (Path(root.__file__).parent / "commands").glob("[a-z]*.py")}
    assert modules == set(root.COMMANDS)
    for name in root.COMMANDS:
        command = group.get_command(None, name)  # type: ignore[attr-defined]
        assert command.help.partition("\n")[0] == root.summary(name) != ""


def test_a_misspelt_command_gets_a_suggestion(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["fleet", "floood"])
    with handlers_kept(), pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.endswith("Error: No such command 'floood'. Did you mean 'flood'?\n")


def test_readers_of_the_ledger_import_no_celery() -> None:
    assert imported("app.client.quarantine, app.local.session, app.client.follow", {"celery"}) == "[]\n"


def test_views_and_news_import_no_slow_library() -> None:
    slow = {"kubernetes", "matplotlib", "celery", "obstore"}
    assert imported("app.cli.views.watch, app.client.follow", slow) == "[]\n"


def imported(modules: str, wanted: set[str]) -> str:
    """Return which of the wanted modules an interpreter has loaded that imported `modules`."""
    script = f"import {modules}, sys; print(sorted({wanted} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return done.stdout
