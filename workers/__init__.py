"""Who does it: the roles of a run. Plain classes; ray wraps them late, in `ray_crew`."""
