"""Pictures: pages of numbers and images, drawings, and their faces.

    page.py       what a page says: grids of cells, images, formulas, and steps that mark cells; no coordinates
    drawing.py    what is drawn where: boxes, labels, edges and rasters in absolute coordinates
    unfold/       computes pages: how one number of a layer comes about

A module that computes returns a `Page` or a `Drawing` and knows no format. A face (terminal, SVG, HTML, PNG) shows any of
them and computes no numbers.
"""
