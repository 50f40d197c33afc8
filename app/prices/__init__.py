"""Where bars come from: one port, three sources, an audit, immutable snapshots."""
