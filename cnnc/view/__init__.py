"""Pictures: pages of numbers and images, drawings, and their faces.

    what is shown
      page.py           what a page says: grids of cells, images, formulas, and steps that mark cells; no coordinates
      drawing.py        what is drawn where: boxes, labels, edges, markers and rasters in absolute coordinates
      document.py       sections of text, tables, pages and drawings
      palette.py        the colours and forms of roles, which SVG, HTML and PNG share
    what computes pages, drawings and sections
      unfold/           how one number of a layer comes about
      window_page.py    a window that moves over its input
      coverage.py       how often each element of an input is read; coverage_page.py: as heat maps
      field_page.py     the receptive field of one position over an image; fields.py: as intervals
      diagram/          a network as boxes and edges, laid out in ranks and columns; Mermaid and DOT text
      volumes/          feature maps to scale
      units.py          the units of a small 1-D network and the edges between them
      inspect/          kernels, feature maps, histograms, confusions, shifts, and maps of what an answer depends on
      live/             a page that shows a training while it runs, and its replay
      chart.py          curves over two axes; axis.py: where numbers stand, and ticks; chart_labels.py: labels of points
      training_curves.py, activation_curves.py   runs over epochs, functions with derivatives; chart_grid.py: drawings in rows
      contact_sheet.py  filters of one image; template_map.py: where a patch is
      shades.py         numbers as pixels; number_text.py: numbers as text
      crop.py           the part of a large grid that is shown, with a note on the rest
      demo/             the pages that run or train a network in the browser; web/: the runtime that they contain
    how a page becomes a drawing
      arrange.py        places bands of panels, signs, texts and the legend
      panels.py         one panel: its size and its shapes; labels.py, text_width.py: texts
      geometry.py       bends, arrowheads, markers; shapes at another place
    faces
      terminal.py       a page as text
      svg.py, png.py    a drawing as SVG and as PNG; animation.py: the steps of a page as an animated SVG
      html.py           a page as HTML, to step through; changes.py: what differs between steps; page.css, page.js
      document_html.py  a document as HTML; files.py: a drawing or page as the bytes of a file

A module that computes returns a `Page`, a `Drawing` or a `Section` and knows no format. A face (terminal, SVG, HTML, PNG)
shows any of them and computes no numbers. docs/adding-a-drawing.md adds one of each.
"""
