"""Data layers that really read: one file a source, behind one interface (:mod:`caffezoo.training.feeds.base`)."""
