"""The documentation as a site: gathers the pages of docs/, generates the reference, and builds both with MkDocs.

python -m docs.site              # the folder site
python -m docs.site --quick      # without the drawings and results that take minutes
"""
