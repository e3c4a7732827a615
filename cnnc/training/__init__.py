"""The training loop and its parts: losses, optimizers, schedules, augmentation, checkpoints, run folders."""
