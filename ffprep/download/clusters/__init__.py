"""Downloads by a Ray cluster: shards that the nodes fetch."""
