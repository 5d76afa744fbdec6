"""Generated machine code: what every kernel has in common, and how its source becomes a loaded library.

language   C++ types, constants and vectorised mathematics that each kernel starts with.
library    Sources compiled once on a machine, kept on disk by a hash of their content, and loaded.
"""
