"""Results, and what is drawn from them and the index: store, comparison, tables, plots."""
