"""The layer classes, one module a family; importing a module registers its types."""
