"""The training loop and its parts: losses, optimizers, metrics, augmentation, checkpoints, run folders."""
