"""Pages of knowledge as documents: one page or all of them, as text, Markdown, HTML or man page; and ``man sockui``.

Owns how a page looks in each form (a module each, with ``page`` and ``book``), and the order of the handbook. Must not
know what a page says (``view.pages``), look at sockets or import Textual.
"""
