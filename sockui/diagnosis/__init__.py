"""Update -> what is the matter: small pure functions over the socket rows.

Owns the judgement. Must not read the kernel or hold words: those are data in ``knowledge``.
"""
