"""What the layers are computed with: im2col, Winograd, matrix products, per-channel arithmetic."""
