"""Reports on networks and models: first the numbers, then text, JSON, HTML or Markdown; explanations of the codes."""
