"""The train section: its statements, how it is read, and the `Recipe` that training follows.

Importing the package registers every statement in `declaration.TRAIN_STATEMENTS`.
"""

from __future__ import annotations

from cnnc.recipe import augmentation, losses, metrics, optimizers, schedules, statements

__all__ = ["augmentation", "losses", "metrics", "optimizers", "schedules", "statements"]
