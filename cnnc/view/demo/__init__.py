"""The pages that run or train a network in the browser.

page.py            a model, examples and the runtime as one self-contained file
training_page.py   the training step, the data and the runtime as one self-contained file
frame.py           what both share: the document around their parts, its scripts and its policy
sheet.py           images of a data set in one PNG
static/            the scripts of the pages, one subject per file, in one scope; and their style
"""
