"""`make setup`: a clone of this template becomes a project of one's own."""
