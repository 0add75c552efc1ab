"""Get weights: sources, fetch, verify, convert from other frameworks."""
