"""Several processes, one picture: what each records is published to an aggregator, which reports on all of them.

`tapes.distributed.registry` has what programs use.
"""
