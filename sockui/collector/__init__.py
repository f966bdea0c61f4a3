"""Kernel -> Snapshot: reads sockets, owners and host facts; one factory picks the source.

Owns all reading of the system. Must not interpret, age or format what it reads.
"""
