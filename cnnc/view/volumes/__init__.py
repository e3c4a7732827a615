"""The feature maps of a network to scale, as textbooks draw them.

volumes.py          the plain data: the activations that are drawn, with the operations that make them
scale.py            how large each is drawn
solid.py            one volume as shapes: maps one behind the other, a block, a sheet or a bar
grid.py             in which column, lane and band each stands
drawn.py            a `Drawing`, with lines between the volumes
"""
