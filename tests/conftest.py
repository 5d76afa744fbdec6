"""Settings of every test run."""

import os

# Just-in-time compilation costs tens of seconds a kernel: tests run uncompiled but for those of compilation itself.
os.environ.setdefault("BOLTZGEN_COMPILE", "0")
