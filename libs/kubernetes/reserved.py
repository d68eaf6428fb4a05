"""Names that Flux's source-controller leaves out of what it fetches, whatever the repository holds.

Source: github.com/fluxcd/pkg/sourceignore (ExcludeVCS, ExcludeExt, ExcludeCI, ExcludeExtra); a file or folder of that
name would be missing in the store, and a kustomization that lists it stops its whole namespace.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

_IGNORED = (
    *(".git", ".gitignore", ".gitmodules", ".gitattributes"),
    *("*.jpg", "*.jpeg", "*.gif", "*.png", "*.wmv", "*.flv", "*.tar.gz", "*.zip"),
    *(".github", ".circleci", ".travis.yml", ".gitlab-ci.yml", "appveyor.yml", ".drone.yml"),
    *("cloudbuild.yaml", "codeship-services.yml", "codeship-steps.yml"),
    *(".goreleaser.yml", ".sops.yaml", ".flux.yaml", ".sourceignore"),
)
_ENDINGS = ("", ".yaml", ".yml", ".json")


def ignored_as(name: str) -> str | None:
    """Return the file or folder of a thing of this name that Flux would leave out, or None."""
    found = (f"{name}{ending}" for ending in _ENDINGS)
    return next((each for each in found if any(fnmatchcase(each, pattern) for pattern in _IGNORED)), None)
