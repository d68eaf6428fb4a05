"""Small disks: file systems of their own that tests fill, free, make read-only and make writable again.

with small_disk(tmp_path / "disk", megabytes=8) as disk:
    disk.fill(); disk.free()
    disk.make_read_only(); disk.make_writable()

The faults are the kernel's own, so a test that cannot mount fails, and says what it needs.
"""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

_BALLAST = "ballast"
_PIECE_BYTES = 64 * 1024


class MountingNotPermitted(RuntimeError):  # noqa: N818 - it states the fact
    """Disks are mounted for these tests, which takes root (CAP_SYS_ADMIN) and a kernel with tmpfs."""


class SmallDisk:
    """A mounted file system of a few megabytes; `path` is where it is used, `_door` another way to it.

    Linux refuses to remount a file system that has files open for writing. So a read-only one is mounted over the path:
    what is opened from then on is read-only, as every file is after a kernel has given up a disk; files that are open
    already are not reached. Whoever wants those to fail as well fills the disk before.
    """

    def __init__(self, path: Path, door: Path) -> None:
        self.path, self._door = path, door
        self._covered = False

    def fill(self) -> None:
        """Leave no byte free."""
        with (self._door / _BALLAST).open("ab", buffering=0) as file:
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"\0" * _PIECE_BYTES)
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"\0")

    def free(self) -> None:
        """Take back what `fill` took."""
        (self._door / _BALLAST).unlink(missing_ok=True)

    def make_read_only(self) -> None:
        """Refuse every writing on files that are opened from now on."""
        if not self._covered:
            _mount("--rbind", str(self.path), str(self.path))
            self._covered = True
        _mount("-o", "remount,bind,ro", str(self.path))

    def make_writable(self) -> None:
        """Refuse nothing any more; what was opened meanwhile stays read-only, as it does after a real remount."""
        _mount("-o", "remount,bind,rw", str(self.path))


@contextlib.contextmanager
def small_disk(path: Path, megabytes: int) -> Iterator[SmallDisk]:
    """Mount an empty disk at `path`, which is made if need be, and unmount it at the end.

    Raises:
        MountingNotPermitted: this process may not mount.
    """
    path.mkdir(parents=True, exist_ok=True)
    door = Path(tempfile.mkdtemp(prefix="resedge-disk-"))
    with contextlib.ExitStack() as mounted:
        mounted.callback(door.rmdir)
        _mount("-t", "tmpfs", "-o", f"size={megabytes}m,mode=0755", "tmpfs", str(door))
        mounted.callback(_unmount, door)
        _mount("--bind", str(door), str(path))
        mounted.callback(_unmount, path)
        disk = SmallDisk(path, door)
        try:
            yield disk
        finally:
            if disk._covered:
                _unmount(path)


def _mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise MountingNotPermitted(
            f"these tests mount small disks, and `mount {' '.join(arguments)}` failed: {done.stderr.strip()}; run them"
            " as root in an environment that may mount (in a container: --cap-add SYS_ADMIN)"
        )


def _unmount(path: Path) -> None:
    """Unmount also what a process that is about to end still has open."""
    subprocess.run(["umount", "--lazy", str(path)], capture_output=True, check=True)
