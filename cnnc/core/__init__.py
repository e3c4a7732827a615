"""Modules that every package may import: records, arguments, tensor types, arrays, files, versions, process memory."""
