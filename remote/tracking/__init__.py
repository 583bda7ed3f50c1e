"""MLflow's records: read, sent, merged, checked. Shared by laptop and server (Python 3.8)."""
