"""What every package may import: immutable records, arguments, tensor types, files, versions, process memory."""
