"""MLflow's records between a target and a laptop: what a pull takes, what a push of runs brings."""
