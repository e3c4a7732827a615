"""The metrics of the step graph, in a table keyed by the classes of recipe/metrics.py."""
