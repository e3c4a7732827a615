"""Pictures: pages of numbers and images, drawings, and their faces.

    what is shown
      page.py           what a page says: grids of cells, images, formulas, and steps that mark cells; no coordinates
      drawing.py        what is drawn where: boxes, labels, edges, markers and rasters in absolute coordinates
      palette.py        the colours and forms of roles, which SVG, HTML and PNG share
    what computes pages and drawings
      unfold/           how one number of a layer comes about
      crop.py           the part of a large grid that is shown, with a note on the rest
      contact_sheet.py  filters of one image; template_map.py: where a patch is; shades.py: numbers as pixels
      chart.py          curves over two axes; training_curves.py: runs over epochs; chart_grid.py: several drawings in one
    how a page becomes a drawing
      arrange.py        places bands of panels, signs, texts and the legend
      panels.py         one panel: its size and its shapes; labels.py, text_width.py: texts; geometry.py: bends, arrowheads
    faces
      terminal.py       a page as text
      svg.py, png.py    a drawing as SVG and as PNG
      html.py           a page as HTML, to step through; changes.py: what differs between steps; page.css, page.js

A module that computes returns a `Page` or a `Drawing` and knows no format. A face (terminal, SVG, HTML, PNG) shows any of
them and computes no numbers.
"""
