"""Policy decides what is allowed, when, and after whose approval."""
