"""Programs that train the same network, each in its own way, in a process of its own."""
