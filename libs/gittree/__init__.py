"""Git objects, packs and one branch, written directly: the tree writer of rendering."""

from libs.gittree.commits import Author, CommitUnreadable, GitCommit, Trailer
from libs.gittree.family import Family, IdColumn, ObjectSink, ObjectType, SlotColumn, plain_family, tree_family
from libs.gittree.maintenance import Maintained
from libs.gittree.merge import PackDamaged
from libs.gittree.names import Mode, NameRefused, tree_body, tree_parts, validate_name
from libs.gittree.process import GitFailed
from libs.gittree.reader import ObjectMissing, TreeEntry
from libs.gittree.refs import RefLocked, RefMoved
from libs.gittree.repository import Fsck, PushOutcome, PushResult, Repository, redacted_remote
from libs.gittree.sink import IdSink, PackSink
from libs.gittree.workers import WorkerDied, Workers

__all__ = [
    "Author",
    "CommitUnreadable",
    "Family",
    "Fsck",
    "GitCommit",
    "GitFailed",
    "IdColumn",
    "IdSink",
    "Maintained",
    "Mode",
    "NameRefused",
    "ObjectMissing",
    "ObjectSink",
    "ObjectType",
    "PackDamaged",
    "PackSink",
    "PushOutcome",
    "PushResult",
    "RefLocked",
    "RefMoved",
    "Repository",
    "SlotColumn",
    "Trailer",
    "TreeEntry",
    "WorkerDied",
    "Workers",
    "plain_family",
    "redacted_remote",
    "tree_body",
    "tree_family",
    "tree_parts",
    "validate_name",
]
