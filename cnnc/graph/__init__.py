"""The graph that every later stage reads, and analyses that need nothing but the graph."""
