"""Jobs from this side: described, submitted, followed, run again."""
