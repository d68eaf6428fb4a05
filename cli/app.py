"""The root command: its verbs, and the handling of every error.

The one rule: a verb's module is imported only when that verb runs (or for `resedge --help`).
"""

import importlib
import json
import os
import sys
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from cli.config import Flags
from cli.errors import CliError, ExitCode, UsageProblem, nearest_words
from cli.helping import with_kinds
from cli.parameters import plain_one, plain_values
from cli.session import Session
from cli.terminal import coloured
from cli.usage import GLOBAL_OPTIONS, usage_problem
from libs.version import VERSION

VERBS = (
    *("up", "demo", "apply", "diff", "get", "delete", "import", "label", "export"),
    *("publish", "render", "set-release", "unset-release", "undo", "why", "explain", "wait", "confirm", "gitops"),
    *("override", "approval", "token"),
    *("inbox", "dead-letters"),
    *("log", "audit", "replay", "rebuild", "verify", "login", "auth", "context", "admin"),
)
_COMPLETION = "_RESEDGE_COMPLETE"


class ReaderGone(Exception):  # noqa: N818 - it states the fact
    """The reader of stdout has closed it, as `| head` does."""


class Verbs(TyperGroup):
    """The verbs, each in `cli.verbs.<verb>` (`import` in `import_`), loaded when asked for."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - Typer's signature
        """Return every verb in the order of a day's work."""
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> TyperCommand | TyperGroup | None:
        """Return the verb's command, with its module imported now."""
        if cmd_name not in VERBS:
            return None
        module = cmd_name.replace("-", "_")
        verb = importlib.import_module(f"cli.verbs.{'import_' if module == 'import' else module}")
        command = get_command(verb.app)
        if not isinstance(command, TyperCommand | TyperGroup):
            raise TypeError(cmd_name)
        with_kinds(command, ctx)
        return plain_values(command, ctx)

    def get_help_option(self, ctx: Any) -> Any:
        """Return `--help`, made plain like every other parameter."""
        option = super().get_help_option(ctx)
        plain_one(option)
        return option

    def invoke(self, ctx: Any) -> Any:
        """Run the verb.

        Raises:
            ReaderGone: the reader of our stdout has closed it; Typer would make that an error.
        """
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise ReaderGone from None

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Find the verb, or suggest the nearest; completion (resilient parsing) just finds nothing.

        Raises:
            UsageProblem: there is no such verb.
        """
        if not args[0].startswith("-") and args[0] not in VERBS and not ctx.resilient_parsing:
            raise UsageProblem(
                f"no verb {args[0]!r}", fix="see `resedge --help`", nearest=nearest_words(args[0], VERBS)
            )
        return super().resolve_command(ctx, args)


root = typer.Typer(
    cls=Verbs,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _version(value: bool) -> None:
    if value:
        print(f"resedge {VERSION}")
        raise typer.Exit


@root.callback()
def resedge(
    ctx: typer.Context,
    server: Annotated[str, typer.Option("--server", help="Address of the server.", metavar="URL")] = "",
    token: Annotated[str, typer.Option("--token", help="Token; better in RESEDGE_TOKEN(_FILE).", metavar="TEXT")] = "",
    context: Annotated[str, typer.Option("--context", help="Which context to use.", metavar="NAME")] = "",
    _version_wanted: Annotated[
        bool, typer.Option("--version", "-V", help="Show the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """What runs where, when and after whose approval, on every store of a retail edge fleet.

    --server, --token and --context may stand anywhere; RESEDGE_SERVER, RESEDGE_TOKEN, RESEDGE_TOKEN_FILE and
    RESEDGE_CONTEXT say the same. Exit codes: 0 ok, 1 failed or different, 2 usage, 3 refused, 4 not allowed,
    5 not found, 6 conflict, 7 timeout, 8 unreachable, 130 interrupted.
    """
    session: Session = ctx.obj
    session.flags = Flags(server, token, context)


def hoisted(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with the global options first, wherever they stood before a `--`."""
    front: list[str] = []
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == "--":
            return [*front, *rest, word, *words]
        name, equals, _ = word.partition("=")
        if name not in GLOBAL_OPTIONS:
            rest.append(word)
            continue
        front.append(word)
        value = None if equals else next(words, None)
        front += [] if value is None else [value]
    return [*front, *rest]


def wants_json(arguments: Sequence[str]) -> bool:
    """Tell whether `-o json` (or jsonl) was requested, even if the rest cannot be parsed."""
    pairs = pairwise([*arguments, ""])
    return any(
        (word in ("-o", "--output") and after in ("json", "jsonl"))
        or word in ("-ojson", "-ojsonl", "-o=json", "--output=json", "--output=jsonl")
        for word, after in pairs
    )


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; every error ends here, as a message on stderr."""
    session = Session()
    as_json = wants_json(arguments)
    try:
        _check_text(arguments)
        _complete_line()
        command = get_command(root)
        if isinstance(command, TyperGroup):
            plain_values(command)
        status = command.main(hoisted(arguments), prog_name="resedge", standalone_mode=False, obj=session)
        sys.stdout.flush()
        return int(status or 0)
    except CliError as error:
        _tell(error, session, as_json=as_json)
        return session.failure_code if error.exit_code == ExitCode.FAILED else error.exit_code
    except (ReaderGone, BrokenPipeError):
        # Keep Python from complaining when it closes the stream at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        _tell(CliError(f"{place}{error.strerror or error}"), session, as_json=as_json)
        return session.failure_code
    except typer.TyperException as error:
        return _usage(error, session, arguments, as_json=as_json)
    except (typer.Abort, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    finally:
        session.close()


def _complete_line() -> None:
    """Let a shell that asks for completions without a line be answered: Typer's class for bash demands one."""
    if os.environ.get(_COMPLETION):
        os.environ.setdefault("COMP_WORDS", "resedge")
        if not os.environ.get("COMP_CWORD", "").isdecimal():
            os.environ["COMP_CWORD"] = "1"


def _check_text(arguments: Sequence[str]) -> None:
    """Refuse arguments that are not text before they reach an address or a request."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise UsageProblem(f"{argument!a} is not UTF-8") from None


def _tell(error: CliError, session: Session, *, as_json: bool) -> None:
    """Write an error to stderr: as lines for a person, or as a problem document."""
    if as_json:
        session.say(json.dumps(error.document(), ensure_ascii=False, default=list))
        return
    first, *rest = error.lines()
    session.say("\n".join([f"{coloured('error:', 'red', sys.stderr)} {first}", *rest]))


def _usage(error: typer.TyperException, session: Session, arguments: Sequence[str], *, as_json: bool) -> int:
    """Report what Typer could not parse; show the help if there are no arguments."""
    if type(error).__name__ == "NoArgsIsHelpError":
        print(error.format_message(), file=sys.stderr)
    else:
        _tell(usage_problem(error, get_command(root), arguments), session, as_json=as_json)
    return ExitCode.USAGE
