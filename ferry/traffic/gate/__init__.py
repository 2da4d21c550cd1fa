"""The gate: whether a canary may take more traffic, by comparing its requests with those of the engine before it."""
