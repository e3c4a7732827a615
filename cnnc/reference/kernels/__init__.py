"""The arithmetic that layers are made of: im2col, Winograd, depthwise, blocked matrix products, per-channel arithmetic."""
