"""The content of a file of a drawing or page, by the kind of the file.

In: a `Drawing` or `Page`. Out: bytes of SVG, PNG or HTML.

    picture_bytes(drawing, "svg")[:4]    # b"<svg"
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cnnc.view.drawing import Drawing
    from cnnc.view.page import Page


def picture_bytes(picture: Drawing | Page, kind: str) -> bytes:
    """The content of a file of this kind; a page shows its current step, except in HTML, which steps through all."""
    from cnnc.view.arrange import arranged
    from cnnc.view.html import drawing_html, html_text
    from cnnc.view.page import Page
    from cnnc.view.png import png
    from cnnc.view.svg import svg_text

    if kind == "html":
        return (html_text(picture) if isinstance(picture, Page) else drawing_html(picture)).encode()
    drawing = arranged(picture) if isinstance(picture, Page) else picture
    return png(drawing) if kind == "png" else svg_text(drawing).encode()
