"""The terminal UI, the only package that knows Textual.

Owns widgets, keys and colours. Must not read the kernel, compute or hold words about TCP.
"""

import os

# Textual reads it once, when it is imported: how many times a second a screen that has changed is painted. At its 60 a
# key waits up to 17 ms twice, for the row and for what explains it. ``paced`` sees to it that no line gets too much.
os.environ.setdefault("TEXTUAL_FPS", "200")
