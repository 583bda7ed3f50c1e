"""What the project itself needs: the demonstration, its private sshd, the benchmarks."""
