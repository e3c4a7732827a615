"""What `cnnc unfold` shows: of a layer of a network, or of a matrix and a kernel, as pages and numbers."""
