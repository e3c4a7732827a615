"""Modules that every package may import: records, arguments, tensor types, who calls, arrays, files, versions, process memory."""
