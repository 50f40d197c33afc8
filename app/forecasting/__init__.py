"""From a ticker to the coming sessions, without TensorFlow."""
