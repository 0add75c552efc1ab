"""Generators of the deploy prototxts, one module a family."""
