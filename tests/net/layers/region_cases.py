"""Layers over regions and boxes that test modules of their own hold."""

OWN_TESTS = {"MultiStageMeanfield"}
