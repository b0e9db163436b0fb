"""A click group whose commands are imported when they are called, so that `--help` and small commands start fast."""

from __future__ import annotations

import atexit
import contextlib
import importlib
import os
import sys
from collections.abc import Callable, Mapping

import click

COMMON_OPTIONS = ("--policy", "--data-dir")


class UserError(click.ClickException):
    """What the user can mend: one clear line on standard error, exit code 2."""

    exit_code = 2

    def show(self, file: object = None) -> None:
        click.echo(f"error: {self.format_message()}", err=True)


class LazyGroup(click.Group):
    """`commands_by_name` maps a name to ("module:attribute", short help); nothing is imported before it is needed."""

    def __init__(self, *args: object, commands_by_name: Mapping[str, tuple[str, str]], **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # click's own signature is dynamic
        self.commands_by_name = dict(commands_by_name)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands_by_name)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.commands_by_name:
            return None
        module, _, attribute = self.commands_by_name[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        _take_common_options(command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib  # needed for a slip of the hand only

            near = difflib.get_close_matches(args[0], self.commands_by_name, n=1)
            if not near or near[0] in error.message or args[0].startswith("-"):
                raise
            raise click.UsageError(f"{error.message} Did you mean '{near[0]}'?", ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, short) for name, (_, short) in self.commands_by_name.items()])


def _take_common_options(command: click.Command) -> None:
    """Let every command take `--policy` and `--data-dir`, so that a script can give all of them the same options.

    A command that needs one declares it and shows it in its help; for the others it is accepted and means nothing.
    """
    if isinstance(command, click.Group):
        for subcommand in command.commands.values():
            _take_common_options(subcommand)
        return
    declared = {name for parameter in command.params for name in parameter.opts}
    for name in COMMON_OPTIONS:
        if name not in declared:
            command.params.append(click.Option([name], hidden=True, expose_value=False))


def run(group: click.Group, program: str) -> None:
    """Run a command line: 0 done, 1 found something wrong, 2 could not run; no traceback for what a user can mend."""
    try:
        result = group.main(prog_name=program, standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("interrupted", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2 if error.exit_code == 1 else error.exit_code)
    except BrokenPipeError:
        sys.exit(1)
    sys.exit(result if isinstance(result, int) else 0)


def leave_by(main: Callable[[], None]) -> None:
    """Run a command line as a whole process, and end it without tearing down what native libraries hold.

    Arrow's threads abort a short program that ends while one of them starts ("terminate called without an active
    exception", 2 of 25 runs on a busy machine). Python's own exit handlers run, and all output is flushed.
    """
    code = 0
    try:
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            click.echo(end.code, err=True)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
