"""Detectors: boxes from a network's outputs, MTCNN's three stages, pictures of what was found."""
