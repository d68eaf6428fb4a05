"""The state of rendering, and how the log is folded into it."""

from services.rendering.model.model import BRANCH, CATEGORIES, Model

__all__ = ["BRANCH", "CATEGORIES", "Model"]
