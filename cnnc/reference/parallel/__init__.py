"""A batch on several cores: by threads, or by worker processes."""
