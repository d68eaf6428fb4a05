"""What one run of the command shares: streams, connection, client, how it talks to a person.

The one rule: stdout is data; everything that is said about the data goes to stderr, without secrets.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from cli.config import REDACTED, Config, Connection, Flags, config_path, connection, load_config, state_path
from cli.errors import ExitCode, UsageProblem

if TYPE_CHECKING:
    from collections.abc import Mapping

    import typer

    from cli.client import Client


@dataclass
class Session:
    """The state of one run. `failure_code` is what an error without a code of its own ends with."""

    flags: Flags = field(default_factory=Flags)
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    failure_code: int = ExitCode.FAILED

    @cached_property
    def config(self) -> Config:
        """Return the file of contexts."""
        return load_config(config_path(self.environment))

    @cached_property
    def connection(self) -> Connection:
        """Return the server and the token that this run uses."""
        return connection(self.flags, self.environment, self.config)

    @cached_property
    def client(self) -> Client:
        """Return the HTTP client; its library is loaded by the first use, which renews a sign-in that ends soon."""
        from cli.client import Client  # noqa: PLC0415 - loaded only when it is needed: start-up time
        from cli.positions import Positions  # noqa: PLC0415 - loaded only when it is needed: start-up time

        self._renew()
        return Client(self.connection, Positions(state_path(self.environment), self.connection), self._notice)

    def _renew(self) -> None:
        """Renew the token of a context that signed in, if this run uses it and it ends soon."""
        used = self.connection
        context = self.config.contexts.get(used.context)
        if context is None or context.sign_in is None or used.token != context.token:
            return
        from cli.signing_in import renewed  # noqa: PLC0415 - loaded only when it is needed: start-up time

        token = renewed(config_path(self.environment), context.name)
        self.__dict__["connection"] = replace(used, token=token)

    def close(self) -> None:
        """Close what was opened."""
        if "client" in self.__dict__:
            self.client.close()

    def redacted(self, text: str) -> str:
        """Return the text without this run's token, wherever it came from."""
        tokens = {self.flags.token, self.environment.get("RESEDGE_TOKEN", "")}
        if "connection" in self.__dict__:
            tokens.add(self.connection.token)
        for token in sorted(filter(None, tokens), key=len, reverse=True):
            text = text.replace(token, REDACTED)
        return text

    def say(self, text: str) -> None:
        """Tell a person something on stderr."""
        print(self.redacted(text), file=sys.stderr)

    def warn(self, *warnings: str) -> None:
        """Tell a person what deserves attention although nothing failed."""
        for warning in warnings:
            self.say(f"warning: {warning}")

    def _notice(self, text: str) -> None:
        self.say(f"notice: {text}")

    def ask(self, question: str, *, yes: bool) -> None:
        """Go on only if a person agrees, or `--yes` was given.

        Raises:
            UsageProblem: there is no terminal to ask on, or the answer was no.
        """
        if yes:
            return
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise UsageProblem(f"{question} needs a yes, and there is no terminal to ask on", fix="add --yes")
        print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise UsageProblem("nothing was changed", why="the answer was not yes")


def session_of(ctx: typer.Context) -> Session:
    """Return the session that the root command made."""
    session = ctx.find_object(Session)
    return session if session is not None else ctx.ensure_object(Session)
