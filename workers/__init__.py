"""Who does it: the roles of a run. Plain classes; ray wraps them late, in the files named `ray_...`."""

import os

# Ray reports usage unless it is told not to; a research code has no business doing so by itself.
# It is told here, because it must be before anything imports it.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
