"""Tests of the whole shop; each app's are in a folder of its name."""

import sys

# `jsonschema` checks IRIs by a package that makes 38 grammars at import, 1.4 s in each process; the shop has no IRI.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
