"""Where it runs: command lines, presets, and what people see."""
