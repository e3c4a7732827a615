"""Networks in an editor: a language server over the compiler's data, highlighters, a drawing that follows the text.

`server` speaks the protocol and is the only module that imports pygls; the others are functions of a checked network and an
offset in its source.
"""
