"""Training small networks: one trainer for all, and a step of its own for each."""
