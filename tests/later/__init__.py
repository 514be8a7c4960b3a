"""An app that comes later: migrations of tables that are in use, for tests and drills."""
