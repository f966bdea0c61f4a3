"""The terminal UI, the only package that knows Textual.

Owns widgets, keys and colours. Must not read the kernel, compute or hold words about TCP.
"""
