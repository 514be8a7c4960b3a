"""What runs the shop on a developer's machine: installer, embedded PostgreSQL, supervisor. The image has none of it."""
