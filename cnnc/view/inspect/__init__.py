"""What a network has learned, as sections of a document: kernels, feature maps, n-grams and histograms."""
