"""Writes `docs/reference/cli.md` from the command itself.

Never edit the page; `python -m cli.reference > docs/reference/cli.md` makes it, and a test compares.
"""

import inspect
from collections.abc import Iterator
from typing import Any

from typer.core import TyperGroup
from typer.main import get_command

from cli.app import root
from cli.errors import EXIT_CODE_MEANINGS
from cli.usage import metavar, usage

_HIDDEN = ("--install-completion", "--show-completion", "--help")


def reference() -> str:
    """Return the page: every verb with its arguments and options, in the order of `resedge --help`."""
    command: Any = get_command(root)
    lines = [
        "# The `resedge` command",
        "",
        "<!-- Made by `python -m cli.reference > docs/reference/cli.md`; do not edit. -->",
        "",
        *_text(command),
        *_parameters(command),
        "Tables are for people; `-o json`, `jsonl`, `yaml` and `name` are for scripts. stdout holds data only,",
        "everything else goes to stderr. A terminal shows the first hundred rows and says so; a pipe gets all of them,",
        "uncoloured and uncut. `-o json` also turns an error into a problem document (RFC 9457) on stderr.",
        "",
        *(f"- exit code {code.value}: {meaning}" for code, meaning in EXIT_CODE_MEANINGS.items()),
        "",
    ]
    for path, verb in _verbs(command, "resedge"):
        lines += [f"## `{path}`", "", f"    {usage(path, verb)}", "", *_text(verb), *_parameters(verb)]
    return "\n".join(lines).rstrip() + "\n"


def _verbs(group: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield every command that can be run, with the words that run it."""
    for name in group.list_commands(None):
        command = group.get_command(None, name)
        if isinstance(command, TyperGroup):
            if command.invoke_without_command:
                yield f"{path} {name}", command
            yield from _verbs(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def _text(command: Any) -> list[str]:
    return [*inspect.cleandoc(command.help or "").splitlines(), ""]


def _parameters(command: Any) -> list[str]:
    rows = []
    for param in command.params:
        if any(name in _HIDDEN for name in param.opts):
            continue
        if param.param_type_name == "argument":
            rows += [f"- `{metavar(param)}`: {param.help}"] if param.help else []
            continue
        names = ", ".join(f"`{name}`" for name in sorted([*param.opts, *param.secondary_opts], key=len))
        value = "" if getattr(param, "is_flag", False) else f" `{metavar(param)}`"
        default = f" Default: `{_shown(param.default)}`." if _shown(param.default) else ""
        rows.append(f"- {names}{value}: {param.help or ''}{default}")
    return [*rows, ""] if rows else []


def _shown(default: Any) -> str:
    """Return a default for the page; none if it is unset, or a flag that is off."""
    return "" if default in (None, "", False, True) or callable(default) else str(default)


if __name__ == "__main__":
    print(reference(), end="")
