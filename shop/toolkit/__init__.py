"""The ground under all apps: it knows none of them, and none of the rules of stock and orders."""
