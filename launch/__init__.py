"""Where it runs: command lines, presets, and what people see."""

import os

# No command opens a window, and a notebook's backend is not there outside of it.
os.environ["MPLBACKEND"] = "agg"
