"""The state that one run of the command shares: streams, connection, client, messages.

The one rule: stdout has only data; every message about the data goes to stderr, without secrets.
"""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from cli.config import (
    REDACTED,
    Config,
    Connection,
    Flags,
    config_path,
    connection,
    kinds_folder,
    load_config,
    state_path,
)
from cli.errors import CliError, ExitCode, UsageProblem
from cli.kinds import KINDS_ROUTE, Kinds, cache_of, keep, read_kinds
from cli.kinds import kept_kinds as published_last
from cli.terminal import asks
from libs.kinds import KINDS, version_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import typer

    from cli.client import Client
    from libs.kinds import Kind

KINDS_SECONDS = 5.0


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
        from cli.positions import KeptPositions  # noqa: PLC0415 - loaded only when it is needed: start-up time

        self._renew()
        return Client(self.connection, KeptPositions(state_path(self.environment), self.connection), self._notice)

    @cached_property
    def kinds(self) -> Kinds:
        """Return the kinds that the server published last, else those of this version of the command."""
        kept = published_last(self._kinds_cache)
        return Kinds(kept[0] if kept else KINDS, self._ask_kinds)

    @property
    def _kinds_cache(self) -> Path:
        return cache_of(kinds_folder(self.environment), self.connection.server)

    def _ask_kinds(self) -> Sequence[Kind]:
        """Return what the server publishes now, and keep it for the next run.

        Raises:
            CliError: it publishes nothing.
        """
        body = self.client.get(KINDS_ROUTE, read_seconds=KINDS_SECONDS, fresh=False).body
        try:
            found, _ = read_kinds(body)
        except ValueError as error:
            raise CliError(f"{KINDS_ROUTE} does not list kinds") from error
        keep(self._kinds_cache, body)
        return found

    def _refresh_kinds(self) -> None:
        """Keep what the server publishes, for the next run, if it is another version than this run knew."""
        kept = published_last(self._kinds_cache)
        if self.client.kinds_version not in ("", kept[1] if kept else version_of(KINDS)):
            with contextlib.suppress(CliError):
                self._ask_kinds()

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
        """Close everything that was opened."""
        if "client" in self.__dict__:
            if "kinds" in self.__dict__:
                self._refresh_kinds()
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
        """Write a message to stderr."""
        print(self.redacted(text), file=sys.stderr)

    def warn(self, *warnings: str) -> None:
        """Write a warning to stderr."""
        for warning in warnings:
            self.say(f"warning: {warning}")

    def _notice(self, text: str) -> None:
        self.say(f"notice: {text}")

    def ask(self, question: str, *, yes: bool) -> None:
        """Continue only if a person agrees, or `--yes` was given.

        Raises:
            UsageProblem: there is no terminal to ask on, or the answer was no.
        """
        if yes:
            return
        if not asks():
            raise UsageProblem(f"{question} needs a confirmation, and there is no terminal to ask on", fix="add --yes")
        print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise UsageProblem("nothing was changed", why="the answer was not yes")


def session_of(ctx: typer.Context) -> Session:
    """Return the session that the root command made."""
    session = ctx.find_object(Session)
    return session if session is not None else ctx.ensure_object(Session)
