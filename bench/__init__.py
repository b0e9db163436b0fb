"""Repeatable benchmarks: each module prints one table, with the peer measured in the same run. No test reads them."""
