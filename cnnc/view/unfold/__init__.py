"""How one number comes about: the sum behind one output of a layer, and everything that follows from these sums.

`terms.py` says for each layer which weight is multiplied by which input element. The formula of one output, the im2col matrix,
the Toeplitz matrix, and the gradients of one weight and of one input element all come from it.

    the arithmetic, of exact values and letters as of floats
      terms.py            the terms of an output; combine.py: what is done with them, and its derivative
      layer_numbers.py    a layer with the numbers of its input and weights: its sums, formulas and outputs
      gradient_sums.py    all gradients of such a layer as sums
      exact.py            exact values; typed_matrices.py: matrices of them as people type them
      matrices.py         im2col and Toeplitz matrix, and their pages
    a layer of a network, on one example
      layer_run.py        what it reads and computes, its numbers, and the sum behind one output, beside the engine's
      layer_gradient.py   the gradient of one weight or element, beside the engine's; channels.py: without walking all channels
      upstream.py         the gradient of the loss or a score by the layer's output
      elementwise.py      the formulas of layers that are not sums
    pages, of which all numbers are shown
      forward_page.py, transposed.py, backward_page.py
    pages of a layer that may be large, which show what contributes most
      layer_page.py, layer_gradient_page.py, layer_matrices.py
      planes.py           the terms of a sum by channel, row and column; sum_panels.py: these as grids and lines
    what all pages share
      formulas.py         numbers and equations as text; steps.py: the positions that a page steps through
      grids.py            tensors as grids; json.py, layer_json.py: all of it as JSON
"""
