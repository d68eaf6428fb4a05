"""The usage line of a command, and the messages about arguments that do not match it.

The help, the reference page and the errors use the same declarations.
"""

from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from cli.errors import UsageProblem, nearest_words

GLOBAL_OPTIONS = ("--server", "--token", "--context")


def usage(path: str, command: Any) -> str:
    """Return the line that shows the arguments and options, in order."""
    words = [path]
    if isinstance(command, TyperGroup) and not command.invoke_without_command:
        return f"{path} COMMAND [OPTIONS]"
    for param in command.params:
        if param.param_type_name == "argument":
            words.append(metavar(param) if param.required else f"[{metavar(param)}]")
        elif param.required:
            words.append(f"{param.opts[-1]} {metavar(param)}")
    return " ".join([*words, "[OPTIONS]"])


def metavar(param: Any) -> str:
    """Return the placeholder of a parameter's value."""
    return str(param.metavar or param.name.upper())


def usage_problem(error: typer.TyperException, root: Any, arguments: Sequence[str]) -> UsageProblem:
    """Return what Typer could not parse: why that is asked for, what is taken there, and the help to read."""
    ctx: Any = getattr(error, "ctx", None)
    path, command = (ctx.command_path, ctx.command) if ctx is not None else _meant(root, arguments)
    option = getattr(error, "option_name", "")
    what = " ".join((error.message if option else error.format_message()).split())
    see = f"see `{path} --help`"
    if isinstance(command, TyperGroup) and not option:
        return UsageProblem(what, fix=f"use one of {', '.join(command.list_commands(ctx))}; {see}")
    missing = getattr(error, "param", None)
    if missing is not None:
        told = f"{what.rstrip('.')}: {missing.help}" if getattr(missing, "help", "") else what
        return UsageProblem(told, fix=f"{usage(path, command)}; {see}")
    known = {name for param in command.params for name in param.opts} | {*GLOBAL_OPTIONS, "--help"}
    similar = nearest_words(option, sorted(known)) if option and option not in known else []
    return UsageProblem(what, fix=see, nearest=similar)


def _meant(root: Any, arguments: Sequence[str]) -> tuple[str, Any]:
    """Return the command that the words name, as far as they do: Typer's parser does not say where it stopped."""
    path, command = "resedge", root
    for word in arguments:
        if isinstance(command, TyperGroup) and word in command.list_commands(None):  # type: ignore[arg-type]  # no context is needed
            path, command = f"{path} {word}", command.get_command(None, word)  # type: ignore[arg-type]  # the same
    return path, command
