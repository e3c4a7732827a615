"""Training on PyTorch: `cnnc train --engine torch`. Only this package imports torch; nothing else imports it before it is asked for."""
