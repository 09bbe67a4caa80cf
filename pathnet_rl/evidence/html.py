"""The few pieces of HTML that a page is made of. Text is escaped here and nowhere else."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

import matplotlib as mpl
from matplotlib.figure import Figure

from pathnet_rl.evidence.style import STYLE


@dataclass(frozen=True)
class Cell:
    """A cell of a table: a line, and a smaller one below it."""

    text: str
    small: str = ""
    number: bool = True


GENERATOR = '<meta name="generator" content="pathnet-rl">'
"""What tells a page of ours from others."""
Row = Sequence[Cell | str]
Block = tuple[str, Sequence[Row]]


def page(title: str, body: Iterable[str]) -> str:
    """A whole document that needs nothing beside itself."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"{GENERATOR}\n<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{escape(title)}</h1>\n" + "\n".join(body) + "\n</body>\n</html>\n"
    )


def heading(level: int, text: str, anchor: str = "") -> str:
    """A heading, which links can jump to if it has an anchor."""
    mark = f' id="{escape(anchor)}"' if anchor else ""
    return f"<h{level}{mark}>{escape(text)}</h{level}>"


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph; `kind` is a class of the style sheet."""
    mark = f' class="{escape(kind)}"' if kind else ""
    return f"<p{mark}>{escape(text)}</p>"


def items(lines: Iterable[str]) -> str:
    """A list."""
    return (
        "<ul>" + "".join(f'<li class="breakable">{escape(line)}</li>' for line in lines) + "</ul>"
    )


def definitions(terms: Iterable[tuple[str, str]]) -> str:
    """Terms and what they mean."""
    rows = (f"<dt>{escape(term)}</dt><dd>{escape(words)}</dd>" for term, words in terms)
    return "<dl>" + "".join(rows) + "</dl>"


def contents(sections: Iterable[tuple[str, str]]) -> str:
    """Links to the sections, which are given as anchor and title."""
    links = (f'<a href="#{escape(anchor)}">{escape(title)}</a>' for anchor, title in sections)
    return "<nav>" + " ".join(links) + "</nav>"


def table(header: Row, rows: Iterable[Row]) -> str:
    """A table that scrolls inside itself. Strings are left-aligned, cells are numbers unless they say no."""
    return table_of_blocks(header, [("", list(rows))])


def table_of_blocks(header: Row, blocks: Iterable[Block]) -> str:
    """A table in blocks, each below a line of its own, which stays in sight when the table is scrolled."""
    lines = ["<tr>" + "".join(_cell(cell, "th") for cell in header) + "</tr>"]
    for title, rows in blocks:
        if title:
            words = f'<td colspan="{len(header)}"><span>{escape(title)}</span></td>'
            lines.append(f'<tr class="block">{words}</tr>')
        lines += ["<tr>" + "".join(_cell(cell, "td") for cell in row) + "</tr>" for row in rows]
    # Whoever has no mouse reaches what is scrolled with the keyboard.
    return '<div class="scroll" tabindex="0"><table>' + "\n".join(lines) + "</table></div>"


def _cell(cell: Cell | str, tag: str) -> str:
    if isinstance(cell, str):
        cell = Cell(cell, number=False)
    mark = ' class="number"' if cell.number else ""
    small = f"<br><small>{escape(cell.small)}</small>" if cell.small else ""
    return f"<{tag}{mark}>{escape(cell.text)}{small}</{tag}>"


def picture(figure: Figure, caption: str, words: str, natural: bool = False) -> str:
    """A figure inside the page, with what it shows in words for whoever cannot see it.

    Args:
        natural: as wide as it was drawn, instead of as wide as the others.
    """
    file = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "pathnet-rl"}):  # The same runs give the same page.
        figure.savefig(file, format="svg", metadata={"Date": None})
    data = base64.b64encode(file.getvalue()).decode()
    kind = ' class="natural"' if natural else ""
    return (
        f"<figure{kind}><figcaption>{escape(caption)}</figcaption>"
        f'<img alt="{escape(words)}" src="data:image/svg+xml;base64,{data}"></figure>'
    )


def figures(pictures: Iterable[str]) -> str:
    """Pictures beside one another, as many as there is room for."""
    return '<div class="figures">' + "\n".join(pictures) + "</div>"


def details(summary: str, body: Iterable[str]) -> str:
    """What is shown on demand."""
    return f"<details><summary>{escape(summary)}</summary>" + "\n".join(body) + "</details>"


def code(lines: Iterable[str]) -> str:
    """Commands, one a line."""
    return "<pre><code>" + escape("\n".join(lines)) + "</code></pre>"
