"""How one number comes about: the sum behind one output of a layer, and everything that follows from these sums.

`terms.py` says for each layer which weight is multiplied by which input element. The formula of one output, the im2col matrix,
the Toeplitz matrix, and the gradients of one weight and of one input element all come from it.
"""
