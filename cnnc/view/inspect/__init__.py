"""What a network has learned and why it answers as it does, as sections of a document and the items in them.

kernels.py          the weights of each layer as images, or as curves
feature_maps.py     the activations of each layer for one input
words.py            nearest words of an embedding, n-grams that excite a filter
histograms.py       weights and activations in bins, dead and saturated channels
confusions.py       the confusion matrix, recall and precision
examples.py         examples and outputs as pixels, numbers or words
shifts.py           what a shift of the input changes in each layer
signed_maps.py      rows of images, and maps of what raises or lowers a score
tiles.py            sheets of small images or curves on one scale
"""
