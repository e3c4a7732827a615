"""What `cnnc draw` draws: one module for each style, which turns `DrawOptions` into the content of a file."""
