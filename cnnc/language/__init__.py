"""Source text to a graph: parsing, lowering, formatting, diagnostics."""
