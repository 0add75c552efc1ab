"""Which networks there are: the index, and the architectures that write the prototxts."""
