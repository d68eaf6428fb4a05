"""What is allowed, when, and after whose approval."""
