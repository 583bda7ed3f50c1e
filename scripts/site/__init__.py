"""The documents as a web site: `make docs` builds it, `make docs-serve` shows it."""
