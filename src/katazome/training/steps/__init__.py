"""What is learnt: a file for each network."""
