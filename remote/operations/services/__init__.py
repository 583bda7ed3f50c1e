"""Pages that a target serves, reached from here."""
