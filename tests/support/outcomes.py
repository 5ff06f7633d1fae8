"""A made-up outcome of the benchmark."""

from __future__ import annotations

from tools.benchmark.agreement import Verdict
from tools.benchmark.outcome import Entry, Outcome
from tools.benchmark.overhead import Overhead
from tools.benchmark.results import Case, Measurement, Series
from tools.benchmark.watch import Disturbance
from tools.evaluation.agreement import Agreement

ENTRIES = {
    "paddlex": Entry("PaddleX, defaults", "rival"),
    "engine": Entry("bare engine", "limit"),
    "grpc": Entry("tritonpose, gRPC", "ours"),
}


def outcome(*, agrees: bool = True) -> Outcome:
    """Ours is ten times as fast as PaddleX, and has 80 % of the engine's speed."""
    latency = Measurement(
        name="latency",
        title="Latency <of one image>",
        unit="ms",
        better="lower",
        cases=(
            Case(
                "p50",
                {
                    "paddlex": Series(200.0, (200.0, 220.0)),
                    "engine": Series(16.0, (16.0, 17.6)),
                    "grpc": Series(20.0, (20.0, 22.0)),
                },
            ),
            Case("p99", {"grpc": Series(30.0, (28.0, 32.0))}),
        ),
        headline="p50",
        summary="Latency & more",
        pairs=(("grpc", "paddlex"), ("grpc", "engine")),
    )
    agreement = Agreement(
        images=2,
        persons=5,
        other_persons=() if agrees else ("b.jpg",),
        box_px=0.0002,
        det_score=0.000001,
        close_share=0.9951,
        visible_px=0.2,
        clear_px=None,
        keypoint_score=0.001,
    )
    return Outcome(
        facts={"machine": {"processor": "A processor", "cores": 2}},
        entries=ENTRIES,
        measurements=(latency,),
        reference="paddlex",
        verdicts=(Verdict("grpc", agreement, ()),),
        memory={"tritonpose, gRPC": 738_400_000},
        overhead=Overhead(request_ms=1.5, throughput_share=0.81),
        disturbance=Disturbance(idle_contestants=0.001, foreign=0.25, stolen=0.02),
    )
