"""Networks in an editor: a language server over the compiler's data, highlighters, a drawing that follows the text.

`server` speaks the protocol, `websocket` serves it on a port; only these import pygls, and `convert` its types. The others are
functions of a checked network and an offset in its source.
"""
