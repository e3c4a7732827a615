"""int8 and float16 models, and the examples that they are measured on."""
