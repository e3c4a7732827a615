"""Source to graph: parsing, lowering, warnings, legal sizes; and formatting."""
