"""What `cnnc inspect` computes: one module for each part of the report, which turns an `Inspection` into sections."""
