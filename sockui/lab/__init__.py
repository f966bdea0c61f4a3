"""Makes real sockets stuck in every state, for trying, teaching and testing.

Owns the recipes and their cleaning up. Must not read or explain sockets: that is the program's job.
"""
