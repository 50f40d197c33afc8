"""HTTP: requests in, documents out; nothing here trains, and nothing here waits for training."""
