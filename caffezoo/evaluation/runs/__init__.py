"""Runs that go on after anything: ``folder`` keeps them, ``scoring`` does a part, ``ray_pool`` spreads it."""
