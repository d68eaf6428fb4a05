"""The paths of a cluster's files in the tree that stores pull (DESIGN §9), shared by the writer and its readers."""

from __future__ import annotations

import hashlib
from functools import lru_cache


@lru_cache(maxsize=131_072)
def shard(cluster: str) -> tuple[str, str]:
    """Return the two levels of directory above a cluster's: one hex digit, then two."""
    digest = hashlib.sha256(cluster.encode("ascii")).hexdigest()
    return digest[0], digest[1:3]


def cluster_path(cluster: str) -> str:
    """Return the directory of a cluster: `clusters/a/bc/<cluster>`."""
    first, second = shard(cluster)
    return f"clusters/{first}/{second}/{cluster}"
