"""How much one row, one request and one text may hold."""

# No level may pass this, so that no sum of levels leaves the range of a 32-bit integer.
MAX_LEVEL = 1_000_000_000
MAX_LINES = 1000  # of an order, a reservation or a transfer
MAX_CHECKED = 500  # products of one check
MAX_TTL_SECONDS = 24 * 60 * 60
MAX_REFERENCE, MAX_NOTE = 100, 500  # characters
