"""The graph that every later stage reads, and what follows from it alone."""
