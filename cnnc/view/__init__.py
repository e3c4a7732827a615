"""Pictures: pages of numbers and images, drawings, and their faces.

    page.py       what a page says: grids of cells, images, formulas, and steps that mark cells; no coordinates
    drawing.py    what is drawn where: boxes, labels, edges and rasters in absolute coordinates
    arrange.py    lays a page out: a page becomes a drawing
    chart.py      curves over two axes: a drawing
    svg.py        a drawing as SVG
    html.py       a page as HTML, to step through
    palette.py    the colours and forms of roles, which SVG, HTML and PNG share
    unfold/       computes pages: how one number of a layer comes about

A module that computes returns a `Page` or a `Drawing` and knows no format. A face (terminal, SVG, HTML, PNG) shows any of
them and computes no numbers.
"""
