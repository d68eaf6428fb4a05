"""A bare repository with one branch that only one writer moves.

The one rule: objects are on disk before the branch names them, and the branch moves only from the value last seen.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Self

from libs.gittree.commits import Author, GitCommit, Trailer, decode_commit, encode_commit
from libs.gittree.maintenance import Maintained, consolidate
from libs.gittree.names import validate_name
from libs.gittree.owner import remove_stale
from libs.gittree.process import GitFailed, command, run_git
from libs.gittree.reader import GitReader, TreeEntry, parse_tree
from libs.gittree.refs import Ref, validate_branch
from libs.gittree.sink import PackSink

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from pathlib import Path
    from types import TracebackType

    from libs.gittree.workers import Workers

_SETTINGS = {
    "core.fsync": "all",
    "core.logAllRefUpdates": "false",
    "core.preferSymlinkRefs": "false",
    "fetch.fsckObjects": "true",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "pack.threads": "1",
    "receive.autogc": "false",
    "receive.denyDeletes": "true",
    "receive.denyNonFastForwards": "true",
    "receive.fsckObjects": "true",
    "repack.writeBitmaps": "false",
    "uploadpack.allowFilter": "true",
}
_REMOTE = re.compile(
    r"(?:https?|ssh|git|file)://[^\s\x00-\x1f]+|/[^\x00-\x1f]+|[A-Za-z0-9._-]+@[A-Za-z0-9.-]+:[^\s\x00-\x1f]+"
)
_CREDENTIALS = re.compile(r"(://)[^/@\s]*@")
_PUSH_TIMEOUT_SECONDS = 900
_ASK_TIMEOUT_SECONDS = 30


class PushOutcome(StrEnum):
    """The outcome of a push."""

    PUSHED = "pushed"
    UP_TO_DATE = "up-to-date"
    NOT_FAST_FORWARD = "not-fast-forward"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class PushResult:
    """How a push ended; `detail` is what git said, without credentials."""

    outcome: PushOutcome
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Fsck:
    """What `git fsck --strict --full` found."""

    ok: bool
    problems: tuple[str, ...]


class Repository:
    """One bare repository and its branch. Thread-safe but for `maintain`, of which one runs at a time."""

    def __init__(self, path: Path, branch: str) -> None:
        self.path = path
        self.branch = validate_branch(branch)
        self._packs = path / "objects" / "pack"
        self._ref = Ref(path, branch)
        self._reader = GitReader(path)

    @classmethod
    def create(cls, path: Path, branch: str = "main") -> Self:
        """Create an empty repository at `path`, or complete one whose creation was interrupted.

        Raises:
            GitFailed: git refused.
        """
        validate_branch(branch)
        run_git(["git", "init", "--quiet", "--bare", "--template=", f"--initial-branch={branch}", str(path)])
        for key, value in _SETTINGS.items():
            run_git(command(path, "config", key, value))
        (path / "info").mkdir(exist_ok=True)
        return cls.open(path, branch)

    @classmethod
    def open(cls, path: Path, branch: str = "main") -> Self:
        """Open the repository and remove the leftovers of dead writers: temporary packs, and our own stale lock.

        Raises:
            FileNotFoundError: there is no bare repository at `path`.
        """
        if not (path / "HEAD").is_file() or not (path / "objects" / "pack").is_dir():
            raise FileNotFoundError(f"there is no bare Git repository at {path}")
        repository = cls(path, branch)
        repository._ref.release_stale()
        remove_stale(path)
        remove_stale(repository._packs)
        return repository

    def head(self) -> str | None:
        """Return the branch's commit in hex, or None before the first."""
        return self._ref.read()

    def pack(self, workers: Workers | None = None) -> PackSink:
        """Return a sink for new objects; large families are written on `workers`."""
        return PackSink(self._packs, workers)

    def commit(
        self,
        tree: str,
        parent: str | None,
        message: str,
        author: Author | None,
        when: datetime,
        *,
        trailers: Sequence[Trailer] = (),
        sink: PackSink | None = None,
    ) -> str:
        """Write a commit and return its id: equal arguments, equal id.

        With `sink` it becomes durable and visible with the sink's other objects, by `finish`; without, at once.
        """
        parents = [parent] if parent is not None else []
        body = encode_commit(tree, parents, message, when, author=author, trailers=trailers)
        if sink is not None:
            return sink.add("commit", body).hex()
        with self.pack() as own:
            identity = own.add("commit", body).hex()
            own.finish()
        return identity

    def move(self, expected: str | None, new: str) -> None:
        """Move the branch from `expected` (None: no commit yet) to `new`, durably; the objects must be finished.

        Raises:
            RefMoved: the branch is elsewhere.
            RefLocked: another process holds its lock.
        """
        self._ref.move(expected, new)

    def read_commit(self, identity: str) -> GitCommit:
        """Return a commit.

        Raises:
            ObjectMissing: there is none.
        """
        return decode_commit(identity, self._reader.read(identity, "commit"))

    def read_tree(self, identity: str, path: str = "") -> list[TreeEntry]:
        """Return the entries of a tree: a tree's or a commit's own or, with `path`, the one below it.

        Raises:
            ObjectMissing: there is none.
        """
        return parse_tree(self._reader.read(_below(identity, path) if path else f"{identity}:", "tree"))

    def read_blob(self, identity: str, path: str = "") -> bytes:
        """Return a blob: itself or, with `path`, the file of that path in a tree or commit.

        Raises:
            ObjectMissing: there is none.
        """
        return self._reader.read(_below(identity, path), "blob")

    def iter_commits(self, start: str | None = None) -> Iterator[GitCommit]:
        """Yield the commits from `start` (the branch's) back along first parents."""
        identity = start or self.head()
        while identity is not None:
            commit = self.read_commit(identity)
            yield commit
            identity = commit.parents[0] if commit.parents else None

    def maintain(self) -> Maintained:
        """Limit the number of packs; blocks, so run it on a thread. Safe beside a sink, readers and pushes."""
        done = consolidate(self._packs)
        if done.removed:
            self._reader.close()
        return done

    def push(self, remote_url: str, branch: str | None = None, commit: str | None = None) -> PushResult:
        """Push the branch, or one commit as the branch, never by force.

        Raises:
            ValueError: `remote_url` is not a URL of a transport that git ships, or an absolute path.
        """
        target = f"refs/heads/{validate_branch(branch or self.branch)}"
        pushed = f"{commit or self._ref.name}:{target}"
        arguments = command(self.path, "push", "--porcelain", "--no-verify", "--", _checked(remote_url), pushed)
        try:
            result = run_git(arguments, timeout_seconds=_PUSH_TIMEOUT_SECONDS, check=False)
        except GitFailed as error:
            return PushResult(PushOutcome.FAILED, redacted_remote(str(error)))
        said = (result.stdout + result.stderr).decode("utf-8", "replace")
        return PushResult(_push_outcome(result.returncode, said), redacted_remote(said.strip())[:2000])

    def remote_head(self, remote_url: str, branch: str | None = None) -> str | None:
        """Return the commit that the remote's branch names, or None.

        Raises:
            ValueError: as `push`.
            GitFailed: the remote did not answer; the message has no credentials.
        """
        target = f"refs/heads/{validate_branch(branch or self.branch)}"
        arguments = command(self.path, "ls-remote", "--", _checked(remote_url), target)
        try:
            said = run_git(arguments, timeout_seconds=_ASK_TIMEOUT_SECONDS).stdout.decode("utf-8", "replace")
        except GitFailed as error:
            raise GitFailed(redacted_remote(str(error))) from None
        found = (line.split("\t") for line in said.splitlines())
        return next((each[0] for each in found if each[1:] == [target]), None)

    def holds_all(self, tree: str) -> bool:
        """Whether every object of a tree exists; git walks all of it."""
        return run_git(command(self.path, "rev-list", "--objects", "--quiet", tree), check=False).returncode == 0

    def fsck(self) -> Fsck:
        """Let git check every object and link: `git fsck --strict --full`."""
        result = run_git(
            command(self.path, "fsck", "--strict", "--full", "--no-dangling", "--no-progress"), check=False
        )
        lines = (result.stdout + result.stderr).decode("utf-8", "replace").splitlines()
        problems = tuple(line for line in lines if not line.startswith(("notice:", "dangling ")))
        return Fsck(result.returncode == 0 and not problems, problems)

    def close(self) -> None:
        """End the reading git process; the next read starts it again."""
        self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def redacted_remote(text: str) -> str:
    """Return a remote's URL, or text with such URLs in it, without user names and passwords."""
    return _CREDENTIALS.sub(r"\1", text)


def _checked(remote_url: str) -> str:
    if _REMOTE.fullmatch(remote_url) is None:
        raise ValueError("a remote must be an https, ssh, git or file URL, user@host:path or an absolute path")
    return remote_url


def _below(identity: str, path: str) -> str:
    if not path:
        return identity
    for name in path.split("/"):
        validate_name(name)
    return f"{identity}:{path}"


def _push_outcome(returned: int, said: str) -> PushOutcome:
    """Read `git push --porcelain`: one line per ref, `<flag>TAB<from>:<to>TAB<summary>`."""
    flags = {line[0]: line for line in said.splitlines() if line[1:2] == "\t"}
    if "!" in flags:
        refused = any(
            reason in flags["!"] for reason in ("non-fast-forward", "fetch first", "stale info", "needs force")
        )
        return PushOutcome.NOT_FAST_FORWARD if refused else PushOutcome.FAILED
    if returned != 0:
        return PushOutcome.FAILED
    return PushOutcome.UP_TO_DATE if "=" in flags else PushOutcome.PUSHED
