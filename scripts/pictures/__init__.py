"""`make pictures`: what the documents show, drawn anew from a real run."""
