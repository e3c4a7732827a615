"""What the commands do, as functions of values and paths; each module holds a few of the names of `cnnc`.

`draw`, `inspect` and `unfold` are the packages behind `drawing`, `inspection` and `unfolding`; `runs`, `opened_data` and `subject`
are what several commands begin with.

In: networks, models, runs, arrays, paths. Out: results with a short repr and a display for notebooks, or a CnncError.
"""
