"""The train section: its statements, how it is read, the metrics."""
