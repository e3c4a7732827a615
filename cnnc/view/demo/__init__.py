"""The page that runs a model in the browser: plain data as one self-contained file, and its scripts.

page.py      `DemoPage` as HTML: the data as JSON, the model and the examples as blobs, the runtime and the scripts
data.py      what the page is told: inputs, outputs, layers and examples, as plain data
static/      the scripts, one idea a file, in one scope, and their style
"""
