"""A document of parts, free of any markup language. Markdown is made here, HTML by a template, JSON by msgspec."""

from __future__ import annotations

from msgspec import Struct


class Link(Struct, frozen=True, tag="link"):
    """A way to somewhere, on a line of its own."""

    text: str
    href: str


class Paragraph(Struct, frozen=True, tag="paragraph"):
    text: str


class Bullets(Struct, frozen=True, tag="list"):
    items: tuple[str, ...]


class Table(Struct, frozen=True, tag="table"):
    """Rows of plain text; `caption` says what the table holds. `code` is the column of names to copy, or -1."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    code: int = -1


def table_of(caption: str, columns: tuple[str, ...], rows: tuple[tuple[str, ...], ...], code: int = -1) -> Table:
    """A table without the columns that no row has anything in; the first column names the rows and always stays."""
    kept = [n for n in range(len(columns)) if n == 0 or any(row[n] for row in rows)]
    return Table(
        caption, tuple(columns[n] for n in kept), tuple(tuple(row[n] for n in kept) for row in rows),
        kept.index(code) if code in kept else -1,
    )  # fmt: skip


class Facts(Struct, frozen=True, tag="facts"):
    """What is to be known about one thing: pairs of a label and a text."""

    caption: str
    pairs: tuple[tuple[str, str], ...]


Block = Paragraph | Bullets | Table | Facts | Link


class Part(Struct, frozen=True):
    """A headed part of a document; `anchor` stays the same in every language."""

    anchor: str
    title: str
    blocks: tuple[Block, ...]


class Document(Struct, frozen=True):
    title: str
    language: str
    revision: int
    updated: str  # ISO date
    updated_line: str
    parts: tuple[Part, ...]


def markdown(document: Document) -> str:
    """The document as CommonMark with pipe tables."""
    lines = [f"# {document.title}", "", document.updated_line, ""]
    for part in document.parts:
        lines += [f"## {_plain(part.title)}", ""]
        for block in part.blocks:
            lines += [*_block(block), ""]
    return "\n".join(lines)


def _block(block: Block) -> list[str]:
    match block:
        case Paragraph(text):
            return [_plain(text)]
        case Link(text, href):
            return [f"[{_plain(text)}]({href})"]
        case Bullets(items):
            return [f"- {_plain(item)}" for item in items]
        case Facts(caption, pairs):
            lines = [f"- {_plain(label)}: {_plain(text)}" for label, text in pairs]
            return [f"**{_plain(caption)}**", "", *lines] if caption else lines
        case Table(caption, columns, rows, code):
            body = [
                _row([f"`{cell}`" if n == code and cell else _plain(cell) for n, cell in enumerate(row)])
                for row in rows
            ]
            return [f"**{_plain(caption)}**", "", _row(list(columns)), _row(["---"] * len(columns)), *body]


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _plain(text: str) -> str:
    """Text that Markdown reads as text: no markup of its own, one line."""
    escaped = "".join("\\" + character if character in "\\`*_[]<>#" else character for character in text)
    return " ".join(escaped.split())
