"""The words, as data files that a non-programmer can correct.

Owns what is said about states, situations and remedies. Must not compute anything from sockets.
"""
