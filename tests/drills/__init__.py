"""Drills: what is practised before it happens, on a shop that is at work, and judged by the kill test's verifier."""
