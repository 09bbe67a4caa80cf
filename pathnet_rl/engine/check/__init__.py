"""Each compiled kernel beside its plain version: `python -m pathnet_rl.engine.check`."""
