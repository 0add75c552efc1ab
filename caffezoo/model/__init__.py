"""A network that can be used: which files it is made of, and the engines that run it."""
