"""A document as HTML: one self-contained file with a table of contents, facts, and sections of text, tables and pictures.

In: a `Document`. Out: HTML text that loads nothing and works offline. A page with several steps keeps its controls; the
keys step through the page that has the focus.

    document_html(Document("lenet5", "What lenet5 learned", (("parameters", "61,706"),), (section,)))
"""

from __future__ import annotations

import re

from cnnc.view.document import Document, Item, Section, Table
from cnnc.view.drawing import Drawing
from cnnc.view.geometry import without_head
from cnnc.view.html import drawing_picture, html_file, page_parts, page_text, steps_element
from cnnc.view.svg import text


def document_html(document: Document) -> str:
    """The HTML file of a document; it contains a script only if one of its pages has several steps."""
    parts = [_section(section) for section in document.sections]
    main = (
        f"<h1>{text(document.title)}</h1>\n<p>{text(document.description)}</p>\n"
        + _facts(document)
        + (_contents(document) if len(document.sections) > 1 else "")
        + "".join(parts)
    )
    return html_file(document.title, main, scripted=any(" data-steps=" in part for part in parts))


def _facts(document: Document) -> str:
    pairs = "".join(f"<dt>{text(name)}</dt><dd>{text(what)}</dd>\n" for name, what in document.facts)
    return f"<dl>\n{pairs}</dl>\n" if pairs else ""


def _contents(document: Document) -> str:
    lines = "".join(f'<li><a href="#{text(s.name)}">{text(s.title)}</a></li>\n' for s in document.sections)
    return f'<nav class="contents" aria-label="contents"><ol>\n{lines}</ol></nav>\n'


def _section(section: Section) -> str:
    items = "".join(_item(item, f"{section.name}-{number}-") for number, item in enumerate(section.items, 1))
    return (
        f'<section class="part" id="{text(section.name)}">\n<h2>{text(section.title)}</h2>\n'
        + "".join(f"<p>{_with_code(line)}</p>\n" for line in section.lines)
        + items
        + "".join(f'<p class="note">{_with_code(note)}</p>\n' for note in section.notes)
        + "</section>\n"
    )


def _with_code(line: str) -> str:
    """A line of text, in which what stands in backticks is to be typed."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", text(line))


def _item(item: Item, prefix: str) -> str:
    """An item of a section; the ids in it begin with `prefix`."""
    if isinstance(item, Table):
        return _table(item)
    if isinstance(item, Drawing):
        if not item.head:
            return drawing_picture(item)
        about = f'<p class="note">{text(item.description)}</p>\n' if item.description else ""
        return f"<h3>{text(item.title)}</h3>\n{about}{drawing_picture(without_head(item))}"
    picture, steps = page_parts(item)
    prefix = text(prefix)
    heading = f"<h3>{text(item.title)}</h3>\n" if item.title else ""
    body = heading + page_text(item, picture, prefix)
    return f'<div data-steps="{prefix}">\n{body}{steps_element(steps, prefix)}</div>\n' if steps else body


def _table(table: Table) -> str:
    right = (*table.right, *[False] * (len(table.heads) - len(table.right)))
    kinds = [' class="right"' if is_right else "" for is_right in right]

    def row(tag: str, cells: tuple[str, ...]) -> str:
        entries = "".join(f"<{tag}{kind}>{text(cell)}</{tag}>" for kind, cell in zip(kinds, cells, strict=True))
        return f"<tr>{entries}</tr>\n"

    heading = f"<h3>{text(table.title)}</h3>\n" if table.title else ""
    rows = "".join(row("td", cells) for cells in table.rows)
    return (
        f'{heading}<div class="table" tabindex="0" role="group" aria-label="{text(table.title) or "table"}"><table>\n'
        f"<thead>{row('th', table.heads)}</thead>\n<tbody>\n{rows}</tbody></table></div>\n"
    )
