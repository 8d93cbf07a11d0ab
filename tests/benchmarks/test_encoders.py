"""What the page with the results says about encoders."""

from __future__ import annotations

from benchmarks.encoders import Totals
from benchmarks.report import Encoders, encoders
from tapes.registry import Registry


def test_an_encoder_of_states_is_compared_with_json() -> None:
    """A fifth is the target."""
    others = {"snapshot": 0.02, "json": 0.5, "text": 0.4, "native": 0.7, "otlp": 0.6, "theirs": 1.2}
    met = encoders(Encoders(**others, states=0.1))
    missed = encoders(Encoders(**others, states=0.101))

    assert "| `json` | 500 ms | 1/1.0 | | |" in met
    assert "| an encoder that reads only states | 100 ms | 1/5.0 | <= 1/5 | yes |" in met
    assert "| an encoder that reads only states | 101 ms | 1/5.0 | <= 1/5 | **no** |" in missed
    assert "| the page of prometheus_client, to compare | 1,200 ms | 1/0.4 | | |" in met


def test_the_encoder_of_states_reads_each_timer() -> None:
    """What is measured does what an encoder does."""
    registry = Registry()
    for number in range(3):
        registry.timer(f"timer{number}").update(1)
    registry.timer("timer1").update(2)

    assert Totals().encode(registry.snapshot()) == b"timer0 1\ntimer1 2\ntimer2 1\n"
