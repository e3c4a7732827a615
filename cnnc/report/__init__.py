"""What is known of a network or model, numbers first, then as text, JSON, HTML or Markdown."""
