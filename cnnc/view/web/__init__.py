"""Pages that run a model in the browser: what onnxruntime-web needs to start from a file, without a network.

runtime.py: the script elements of onnxruntime-web for a page; runtime.js: what a page calls to start it and open a model
"""
