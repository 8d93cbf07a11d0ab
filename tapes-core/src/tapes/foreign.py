"""Errors of foreign code that tapes calls: producers, observers, routes and kinds of others."""

from __future__ import annotations

_CANCELLATIONS = frozenset(["CancelledError", "Cancelled", "GreenletExit"])
"""The classes by which asyncio, trio and gevent end a task, by name, since importing these would cost every program."""


def has_to_pass(error: BaseException) -> bool:
    """Whether an error that foreign code raised is meant for the program, and must not be taken for a failure.

    That is Ctrl-C, the end of a generator or a task, and what a signal handler of the program raises meanwhile, like
    the SystemExit of one for SIGTERM. Any other error is a failure of that code, also one that is no `Exception`, like
    `gevent.Timeout` or the SystemExit of a library.
    """
    if isinstance(error, (KeyboardInterrupt, GeneratorExit)):
        return True
    if not isinstance(error, Exception) and any(cls.__name__ in _CANCELLATIONS for cls in type(error).__mro__):
        return True
    return _is_of_a_signal_handler(error)


def _is_of_a_signal_handler(error: BaseException) -> bool:
    import signal  # here, for those without such errors

    handlers = {
        getattr(code, "__code__", None)
        for handler in map(signal.getsignal, signal.valid_signals())
        for code in (handler, getattr(handler, "func", None), getattr(handler, "__call__", None))  # noqa: B004 -- for its code
    }
    position = error.__traceback__
    while position is not None:
        if position.tb_frame.f_code in handlers:
            return True
        position = position.tb_next
    return False
