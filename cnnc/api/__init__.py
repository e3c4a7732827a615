"""What the commands do, as functions of values and paths; each module holds a few of the names of `cnnc`.

In: networks, models, runs, arrays, paths. Out: results with a short repr and a display for notebooks, or a CnncError.
"""
