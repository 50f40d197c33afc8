"""What to send for each operation and how its answer is read; the clients bind these as methods, words included."""
