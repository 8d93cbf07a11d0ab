"""What is wrong with an aggregator, in words and with the remedy, from the evidence. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Iterator, List, Mapping, NamedTuple, Optional, Tuple

from tapes.config.table import Problem
from tapes.distributed.account import FAILS, NOT_STARTED

if TYPE_CHECKING:
    from tapes.config.table import ReporterStatus

_RECENT = 600.0  # seconds for which what has passed counts as wrong
_LATE = 5.0  # seconds by which states may be older than the lease


class Evidence(NamedTuple):
    """What can be seen of an aggregator from outside, and what it says of itself."""

    file: Optional[str]
    """The path of the config; None if it is no file."""
    address: str
    path: Optional[str]
    """The path of its socket; None for tcp://."""
    nowhere: Optional[str] = None
    """Why there is no address, with the remedy."""
    starts: bool = True
    """Whether whoever comes first starts it."""
    linger: float = 10.0
    user: str = "this user"
    """The user who looks."""
    held: bool = False
    """Whether a process holds the address, or answers at it."""
    pid: Optional[int] = None
    """The last process that held the address."""
    leaving: bool = False
    """Whether that process has said that it ends."""
    process_state: str = ""
    """The state of that process, as the letter that is in proc(5)."""
    fault: Optional[str] = None
    """Why it does not answer, without a full stop; None if it does."""
    is_other: bool = False
    """Whether it answers, but in the way of another version."""
    barred: Optional[str] = None
    """Why this user may not connect to its socket."""
    owner: Optional[str] = None
    """The user whose socket that is, if not this one."""
    left_over: Tuple[str, ...] = ()
    """The files beside the address, though no process holds it."""
    waiting: int = 0
    """Files with the last reports of workers."""
    waited: float = 0.0
    """Seconds for which the oldest of them has been there."""
    others: Tuple[str, ...] = ()
    """Users who have an aggregator for the same config."""
    has_changed: bool = False
    """Whether the file of the config is another than the one that the aggregator has read."""
    disabled: bool = False
    """Whether TAPES_DISABLED is set here."""
    log: str = ""
    log_lines: Tuple[str, ...] = ()
    log_age: float = 0.0
    """Seconds since the last of them."""


def problems(evidence: Evidence, said: Optional[Mapping[str, Any]]) -> List[Problem]:
    """Return what is wrong. `said` is the account that the aggregator gives of itself; None if it does not answer."""
    found = [*_absent(evidence)] if said is None else [*_reported(evidence, said)]
    return [*found, *_left(evidence)]


def of_reporters(reporters: Tuple[ReporterStatus, ...]) -> Iterator[Problem]:
    """Yield a problem for each reporter that does not report."""
    for each in reporters:
        why = (each.last_error or "it has not said why").rstrip(".")
        if each.state == FAILS:
            yield Problem(
                f"The reporter {each.key} ({each.what}) fails: {why}.",
                "Mend the cause that it names. It is tried again with each report, and the others report.",
            )
        elif each.state == NOT_STARTED:
            yield Problem(
                f"The reporter {each.key} ({each.what}) could not start: {why}.",
                "Mend the cause that it names. It is tried again every few seconds, and the others report.",
            )


def _absent(evidence: Evidence) -> Iterator[Problem]:
    """Yield why no aggregator answers."""
    config = evidence.file or "the configuration"
    who = f"The aggregator (process {evidence.pid})" if evidence.pid else "An aggregator"
    if evidence.nowhere is not None:
        yield Problem(f"Processes of the user {evidence.user} have no place to meet.", evidence.nowhere)
    elif evidence.barred is not None:
        as_owner = f"sudo -u {evidence.owner} python -m tapes status {config}" if evidence.owner else "as its user"
        yield Problem(
            f"The user {evidence.user} may not connect to the aggregator at {evidence.address}: {evidence.barred}.",
            f"Look as the user that it runs as: {as_owner}. Processes of several users share an aggregator "
            "by group in [aggregator].",
        )
    elif evidence.path is None:
        if evidence.fault is not None:
            yield Problem(
                f"Nobody listens at {evidence.address}: {evidence.fault}.",
                f"Start the aggregator there: python -m tapes.distributed --config {config}",
            )
    elif evidence.is_other:
        yield Problem(
            f"{who} is of another version of tapes-zmq: {evidence.fault}.",
            "Use one version: restart the application, or look with the Python that it runs with.",
        )
    elif evidence.held and evidence.leaving:
        yield Problem(f"{who} is ending.", "Look again in a few seconds.")
    elif evidence.held and evidence.process_state in ("T", "t"):
        yield Problem(f"{who} is suspended, and takes nothing in.", f"Let it go on: kill -CONT {evidence.pid}")
    elif evidence.held:
        yield Problem(
            f"{who} holds the address, and does not answer: {evidence.fault or 'no reason is known'}.",
            f"If it has just begun, look again in a few seconds. Otherwise end it: kill -9 {evidence.pid or 'PID'}. "
            "A worker then starts another one, which goes on with its totals."
            if evidence.starts
            else f"If it has just begun, look again in a few seconds. Otherwise restart it: process {evidence.pid}.",
        )
    elif evidence.left_over:
        yield Problem(
            f"No aggregator runs. The last one{f' (process {evidence.pid})' if evidence.pid else ''} was killed, or "
            f"left workers behind: {', '.join(evidence.left_over)} {_are(len(evidence.left_over))} still there.",
            f"A worker that goes on starts another one within seconds. {_start(evidence)} It takes over what "
            "is there. Leave these files there."
            if evidence.starts
            else f"{_start(evidence)}. It takes over what is there. Leave these files there.",
        )
    else:
        yield Problem(
            f"No aggregator runs for {config}. Either no process of the user {evidence.user} has recorded anything "
            f"yet, or all have ended more than {evidence.linger:g} s ago."
            if evidence.starts
            else f"No aggregator runs for {config}, and its start = 'never' leaves that to somebody else.",
            _start(evidence),
        )
    if evidence.others:
        yield Problem(
            f"There is an aggregator for the same file of another user: {', '.join(evidence.others)}.",
            f"Look as that user: sudo -u {evidence.others[0]} python -m tapes status {config}",
        )
    if evidence.disabled:
        yield Problem(
            "TAPES_DISABLED is set in this environment: processes that have it too publish nothing.",
            "Unset it where the application is started.",
        )


def _start(evidence: Evidence) -> str:
    if not evidence.starts:
        return f"Start it: python -m tapes.distributed --config {evidence.file or 'FILE'}"
    return (
        "The first process that records something after tapes.configure() starts one: send the application a request, "
        "or run the script. If that was done, look for warnings of the logger tapes.reporting in its log."
    )


def _reported(evidence: Evidence, said: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong by the aggregator's own account, but for its reporters."""
    losses, pid = said["losses"], said["pid"]
    show = f"python -m tapes show {evidence.file or 'FILE'}"
    if said["last_bad_frame"] is not None and said["since_bad_frame"] < _RECENT:
        yield Problem(
            f"{losses['bad_frames']} messages of workers could not be read. The last one: "
            f"{said['last_bad_frame'].rstrip('.')}.",
            "Use the same version of tapes-zmq in all processes: restart those that were started before an update.",
        )
    if losses["overflowed"]:
        yield Problem(
            f"There are too many series: {losses['overflowed']} are counted in overflow series only.",
            f"Find tags with too many values, and record fewer: {show} --name '*overflow=true*'. Or raise max_series "
            "or max_tag_sets in [aggregator].",
        )
    if losses["left_out"]:
        yield Problem(
            f"{losses['left_out']} series of workers were left out.",
            "Its log names them. Most likely two processes use one name for two kinds: rename one.",
        )
    if said["staleness"] > said["lease"] + _LATE:
        yield Problem(
            f"It does not keep up: what it has of one worker is {said['staleness']:.0f} s old.",
            "Let workers publish less often (interval in [aggregator]), or have fewer series.",
        )
    if said["config_fault"] is not None:
        yield Problem(
            f"{evidence.file} has changed, and the aggregator does not follow it: {said['config_fault']}.",
            f"Correct the file. python -m tapes check {evidence.file} lists its faults.",
        )
    elif evidence.has_changed:
        yield Problem(
            f"{evidence.file} has changed since the aggregator has read it.", f"Have it read again: kill -HUP {pid}"
        )
    if said["needs_restart"]:
        yield Problem(
            f"{', '.join(said['needs_restart'])} in [aggregator] {'have' if len(said['needs_restart']) > 1 else 'has'} "
            "changed, which needs a restart of the aggregator.",
            f"Restart it: kill {pid}. "
            + (
                "A worker starts another one, which goes on with its totals."
                if said["resident"]
                else "Its supervisor starts it again."
            ),
        )


def _left(evidence: Evidence) -> Iterator[Problem]:
    """Yield what lies beside the address."""
    if evidence.waiting:
        yield Problem(
            f"The last {_reports(evidence.waiting)} of ended workers {_are(evidence.waiting)} in files beside the "
            f"socket, the oldest for {evidence.waited:.0f} s.",
            "Nothing is lost: the next aggregator takes them in. Leave the files there.",
        )
    if evidence.log_lines and (not evidence.held or evidence.log_age < _RECENT):
        yield Problem(
            f"The log of the aggregator has warnings: {evidence.log}",
            "See the last of them below." if evidence.held else "See the last of them below, and remove the file then.",
        )


def _reports(number: int) -> str:
    return "report" if number == 1 else f"{number} reports"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"
