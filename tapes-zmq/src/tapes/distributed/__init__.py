"""Metrics of several processes: workers publish their registries to an aggregator, which merges and reports them.

The public classes are in `tapes.distributed.registry`.
"""
