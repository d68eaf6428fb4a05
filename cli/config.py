"""Which server the command calls, and with which token: contexts in a file, the environment, flags.

The one rule: a context's token is sent to that context's server only.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.errors import UsageProblem, nearest_words

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_SERVER = "http://127.0.0.1:8080"
REDACTED = "REDACTED"
_CONFIG_BYTES_MAX = 1 << 20
_ADDRESS_CHARACTERS_MAX = 2_000


@dataclass(frozen=True, slots=True)
class SignIn:
    """The sign-in of `resedge login`: the provider, the token's expiry (RFC 3339), and the refresh token."""

    issuer: str
    client_id: str
    expires: str = ""
    refresh_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Context:
    """A server under a name; the token never shows in a repr. `sign_in` says where the token is from."""

    name: str
    server: str
    token: str = field(default="", repr=False)
    sign_in: SignIn | None = None


@dataclass(frozen=True, slots=True)
class Config:
    """The file: contexts by name, and which of them is the current one."""

    current: str = ""
    contexts: Mapping[str, Context] = field(default_factory=dict)

    def named(self, name: str) -> Context:
        """Return the context of that name.

        Raises:
            UsageProblem: there is none; it names the nearest.
        """
        if name not in self.contexts:
            raise UsageProblem(
                f"no context {name!r}",
                fix="see `resedge context list`",
                nearest=nearest_words(name, self.contexts),
            )
        return self.contexts[name]

    def having(self, context: Context) -> Config:
        """Return the configuration with a context added or replaced."""
        return Config(self.current, {**self.contexts, context.name: context})


@dataclass(frozen=True, slots=True)
class Flags:
    """The values from the command line; empty if not given."""

    server: str = ""
    token: str = field(default="", repr=False)
    context: str = ""


@dataclass(frozen=True, slots=True)
class Connection:
    """Where requests go and what they carry. `context` is empty when no context was used."""

    server: str
    token: str = field(default="", repr=False)
    context: str = ""


def config_path(environment: Mapping[str, str] = os.environ) -> Path:
    """Return `~/.config/resedge/config.yaml`, or its place by the XDG base directory specification."""
    return _xdg(environment, "XDG_CONFIG_HOME", ".config") / "config.yaml"


def state_path(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the file that remembers how far each context has written."""
    return _xdg(environment, "XDG_STATE_HOME", ".local/state") / "positions.json"


def kinds_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the folder that caches the kinds of each server."""
    return state_path(environment).parent


def _xdg(environment: Mapping[str, str], variable: str, default: str) -> Path:
    base = environment.get(variable, "")
    # The specification says that relative values are ignored.
    root = Path(base) if Path(base).is_absolute() else Path(environment.get("HOME") or Path.home()) / default
    return root / "resedge"


def load_config(path: Path) -> Config:
    """Read the file; a missing one is an empty configuration.

    Raises:
        UsageProblem: the file is not what `save_config` writes.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return Config()
    except OSError as error:
        raise UsageProblem(f"cannot read {path}", why=str(error.strerror)) from error
    import yaml  # noqa: PLC0415 - loaded only when it is needed: start-up time

    try:
        raw = yaml.load(content[:_CONFIG_BYTES_MAX], Loader=yaml.CSafeLoader)
        return _parsed(raw or {})
    except (yaml.YAMLError, AttributeError, TypeError, KeyError, ValueError, RecursionError) as error:
        why = type(error).__name__  # never the text: it may quote the line with the token
        raise UsageProblem(
            f"{path} is not a configuration of resedge",
            why=why,
            fix="correct the file, or remove it and run `resedge up`",
        ) from error


def _parsed(raw: Any) -> Config:
    contexts = {
        str(entry["name"]): Context(
            str(entry["name"]),
            server_url(str(entry["server"])),
            str(entry.get("token") or ""),
            _sign_in(entry.get("sign_in")),
        )
        for entry in raw.get("contexts", [])
    }
    return Config(str(raw.get("current") or ""), contexts)


def _sign_in(raw: Any) -> SignIn | None:
    if not raw:
        return None
    expires = str(raw.get("expires") or "")
    if expires and datetime.fromisoformat(expires).tzinfo is None:
        raise ValueError("expires")
    return SignIn(str(raw["issuer"]), str(raw["client_id"]), expires, str(raw.get("refresh_token") or ""))


def save_config(path: Path, config: Config) -> None:
    """Replace the file at once, readable by its owner only (0600, in a directory of 0700)."""
    import yaml  # noqa: PLC0415 - loaded only when it is needed: start-up time

    raw = {
        "current": config.current,
        "contexts": [
            {"name": c.name, "server": c.server, "token": c.token}
            | ({"sign_in": dataclasses.asdict(c.sign_in)} if c.sign_in else {})
            for c in config.contexts.values()
        ],
    }
    write_private(path, yaml.safe_dump(raw, sort_keys=False).encode())


def write_private(path: Path, content: bytes) -> None:
    """Replace a file of mode 0600 in one step, so that a reader sees the old or the new one."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # mkstemp gives 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_context(name: str, server: str, token: str, *, use: bool = True, path: Path | None = None) -> Path:
    """Add or replace a context and return the file; `use` makes it the current one. `resedge up` calls this."""
    where = path or config_path()
    config = load_config(where)
    contexts = {**config.contexts, name: Context(name, server_url(server), token)}
    save_config(where, Config(name if use or not config.current else config.current, contexts))
    return where


def server_url(text: str) -> str:
    """Return the address without a trailing slash.

    Raises:
        UsageProblem: it is not an http or https address.
    """
    from urllib.parse import urlsplit  # noqa: PLC0415 - only where an address is given

    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or len(text) > _ADDRESS_CHARACTERS_MAX or not text.isascii() or any(c.isspace() for c in text):
        raise UsageProblem(
            f"not a server's address: {redacted_url(text)}", fix="give one like http://127.0.0.1:8080 or https://…"
        )
    return text.rstrip("/")


def redacted_url(url: str) -> str:
    """Return the address without the password that somebody may have put into it."""
    scheme, separator, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    _, at, host = authority.rpartition("@")
    return f"{scheme}{separator}{REDACTED + '@' if at else ''}{host}{slash}{path}"


def connection(flags: Flags, environment: Mapping[str, str], config: Config) -> Connection:
    """Decide server and token: flag, then environment, then context, then the default.

    Raises:
        UsageProblem: a named context does not exist, an address, a token or a token file cannot be used.
    """
    name = flags.context or environment.get("RESEDGE_CONTEXT", "") or config.current
    context = config.named(name) if name else None
    said = flags.server or environment.get("RESEDGE_SERVER", "")
    server = server_url(said) if said else (context.server if context else DEFAULT_SERVER)
    token = flags.token or _environment_token(environment)
    if context and server == context.server:
        return Connection(server, one_word(token or context.token), context.name)
    return Connection(server, one_word(token))


def one_word(token: str) -> str:
    """Return a token that a header can carry: it would be shown by the error of one that cannot.

    Raises:
        UsageProblem: it holds a space, a line break or what is not ASCII.
    """
    if not all("!" <= character <= "~" for character in token):
        raise UsageProblem(
            "the token is not one word",
            why="it contains a space, a line break or a character that tokens never contain",
            fix="give only the token, as `resedge token create` writes it to stdout",
        )
    return token


def _environment_token(environment: Mapping[str, str]) -> str:
    if token := environment.get("RESEDGE_TOKEN", ""):
        return token.strip()
    if file := environment.get("RESEDGE_TOKEN_FILE", ""):
        return token_from_file(Path(file))
    return ""


def token_from_file(path: Path) -> str:
    """Return the token that a file holds.

    Raises:
        UsageProblem: the file cannot be read, or holds more than a token.
    """
    try:
        return one_word(path.read_text(encoding="utf-8")[:10_000].strip())
    except (OSError, UnicodeDecodeError) as error:
        raise UsageProblem(f"cannot read the token file {path}", why=type(error).__name__) from error
