"""Networks of one shape that learn side by side: one compiled graph with a model axis."""
