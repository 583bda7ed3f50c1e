"""`make bench`: this toolkit beside what one would type by hand, measured in the same run."""
