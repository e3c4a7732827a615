"""The page that runs a model in the browser.

page.py      plain data, the model, examples and the runtime as one self-contained file
static/      the scripts of the page, one subject per file, in one scope; and its style
"""
