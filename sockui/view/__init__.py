"""Update -> what a person sees, without a terminal: the screen and the headless outputs read the same views.

Owns columns, filter language, sort order, process tree, explanations and text formats. Must not import
Textual or Rich, read the kernel or keep state between calls.
"""
