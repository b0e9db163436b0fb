"""Aggregated answers for analysts: one query language, an internal lane and a released lane."""
