"""The dashboard: what it shows, and what its keys do."""
