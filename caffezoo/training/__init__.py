"""Training of networks: what a training was, and how its losses went."""
