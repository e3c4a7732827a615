"""A package, so that tests share `tests.op_cases` however pytest is started."""
