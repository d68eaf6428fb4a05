"""What rendering knows: the fold of the log, and the state that it folds into."""

from services.rendering.model.model import BRANCH, CATEGORIES, Model

__all__ = ["BRANCH", "CATEGORIES", "Model"]
