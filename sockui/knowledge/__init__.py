"""The words, as data files that a non-programmer can correct.

Owns what is said about states (``states/``) and situations (``situations/``), the reading of those files
(``words``) and how long the kernel's timers run under given settings (``lifetimes``). Must not compute
anything from sockets.
"""
