"""Collections of pictures on disk: found, labelled by their folders; what the network sees in them, kept."""
