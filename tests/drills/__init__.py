"""Drills: what an operator does on a bad day, done on a good one."""
