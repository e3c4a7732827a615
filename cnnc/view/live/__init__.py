"""A page that shows a training while it runs, and the replay of it.

moment.py   what is to be seen: the subject of the page, and a moment of the training
kernels.py  the kernels of each layer as one image
parts.py    a moment as HTML, by the id of the element that shows it
page.py     the page around the parts, live or with the moments in it as a replay
"""
