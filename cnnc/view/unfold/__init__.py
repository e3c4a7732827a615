"""How one number comes about: the sum behind one output of a layer, and everything that follows from these sums.

`terms.py` says for each layer which weight is multiplied by which input element. The formula of one output, the im2col matrix,
the Toeplitz matrix, and the gradients of one weight and of one input element all come from it.

Of numbers and letters that are typed: `exact` and `literals` read and write them, `layer_numbers` holds a layer with its numbers,
`pages`, `transposed`, `matrices` and `backward` make its pages, `json` its JSON. Of a layer of a network, on one example:
`layer` and `upstream` run it, `elementwise` has the formulas of layers without a sum, `gradient` sums gradients over `channels`,
`planes` and `sum_panels` lay a sum out, and the modules named `layer_...` and `gradient_page` make pages and JSON.
"""
