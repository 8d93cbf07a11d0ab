"""Cumulative state: immutable values that only grow, and that merge in any order.

Nothing in here reads a clock, takes a lock, or depends on threads, processes or names.
"""
