"""The layers of a network as boxes and edges.

diagram.py        the plain data: a `Diagram` of a graph, with blocks folded to a depth
sized.py          the boxes of layers with their texts, and how large they are
chains.py         ranks and chains of one level: which boxes stand below one another
wiring.py         the lines between two ranks, side by side
level.py          one level laid out: boxes and lines in coordinates, a tall one in columns
nested.py         levels within levels: the whole diagram
far_ends.py       shapes at the ends of long lines
drawn.py          a `Drawing`, with title and legend
diagram_text.py   a diagram as text: the walk and the lines that the next two share
mermaid.py, dot.py   the same diagram as text for other programs
"""
