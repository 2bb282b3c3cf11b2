"""The root command `fleet`: a lazy group that imports a command's module only to run it or to print its help."""

import ast
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from app import __version__
from app.errors import ExitCode

PACKAGE = "app.cli.commands"
COMMANDS = ("demo", "process", "worker", "beat", "flood", "check", "status", "quarantine", "watch", "report")
"""The commands in the order of `fleet --help`: modules of `PACKAGE`, each with a function of the same name. If a
module has an `app`, its command is a group and the function the callback of that."""


class LazyGroup(TyperGroup):
    """A group whose commands are `COMMANDS`, imported on demand."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        # Names only: TyperGroup suggests one of them after a misspelt command.
        self.commands = {name: TyperCommand(name) for name in COMMANDS}

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002  # Typer's signature
        """Return the command after importing its module, or None if there is no such command."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"{PACKAGE}.{cmd_name}")
        holder = typer.Typer(rich_markup_mode=None)
        if hasattr(module, "app"):
            holder.add_typer(module.app, name=cmd_name)
        else:
            holder.command(cmd_name)(getattr(module, cmd_name))
        return typer.main.get_group(holder).commands[cmd_name]

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002  # Typer's signature
        """Write the list of commands for `fleet --help` without importing one."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary(name)) for name in COMMANDS])


def summary(name: str) -> str:
    """Return the first line of a command's docstring, read from its module's source."""
    tree = ast.parse((Path(__file__).with_name("commands") / f"{name}.py").read_bytes())
    function = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name)
    return (ast.get_docstring(function) or "").partition("\n")[0]


EXIT_CODES = ", ".join(f"{code:d} {code.name.lower().replace('_', ' ')}" for code in ExitCode)
app = typer.Typer(
    name="fleet",
    cls=LazyGroup,
    help="Turn PDFs into text, thumbnails and facts with Celery workers whose number follows the queue.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: no frames to waste columns on, and 100 ms less to import
    # Typer imports pydantic to convert the missing value of an option: a default for --help spares its pages that.
    context_settings={"help_option_names": ["-h", "--help"], "default_map": {"help": False}},
    epilog=f"Exit codes: {EXIT_CODES}, 128 + N stopped by signal N.",
)


def _version(requested: bool) -> None:
    if requested:
        typer.echo(f"pdf-fleet {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Define the options before the command."""
