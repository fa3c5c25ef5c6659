"""What is simulated, drawn from a seed, and made smaller as long as it still goes wrong."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from metaflow_extensions.hitl.approvals.question import OnTimeout
from metaflow_extensions.hitl.approvals.record import EngineKind
from tests.simulation.world import Fault, Outage, Strike

_OUT = (
    *(("store", "before"), ("store", "after"), ("slack", "before"), ("slack", "after"), ("engine", "before")),
    *(("slack chat.update", "update_failed"), ("slack chat.update", "channel_not_found")),
    *(("slack chat.postMessage", "not_in_channel"), ("slack chat", "invalid_auth")),
    *(("store mark said/", "before"), ("store mark changes/", "before"), ("store create", "before")),
)
_PARTS = ("skews", "shared", "bots", "timeout", "remind_every", "quorum", "engine")
_ANSWERS = ("approve", "reject", "all")
_KINDS = ("before", "after", "slow", "twice", "crash before", "crash after")


@dataclass(frozen=True)
class Act:
    """What somebody does.

    Attributes
    ----------
    at : float
        Seconds since the beginning; they wait until they see what they want to act on.
    what : str
        ``approve``, ``reject`` and ``changes`` (by a form), ``all`` and ``except`` (on a shared message), ``line`` (on
        a command line), ``typed`` and ``typed no`` (after ``/hitl``), ``from home``; and what answers nothing: ``home``
        (they open the Home tab, and leave it open), ``delegate`` (to the next one), ``take back``.
    gate : int
        Which.
    who : int
        Who.
    twice : bool
        Slack delivers it twice.
    """

    at: float
    what: str
    gate: int
    who: int = 0
    twice: bool = False


@dataclass(frozen=True)
class Schedule:
    """One history, but for what the latencies of its seed add.

    Attributes
    ----------
    gates : int
        How many ask at about the same time, in one step.
    shared : bool
        They share a message.
    token : bool
        Who asks, and who answers on a command line, can post in Slack.
    form : bool
        Approving takes a form.
    choice : bool
        Approving takes a choice, which buttons offer where each question has a message of its own.
    named : bool
        Alice decides, and whom she delegates to.
    sealed : bool
        Only what a bot signed counts.
    second_opinion : bool
        Bots compare their clocks with what Slack and the store say.
    skews : tuple[float, float, float]
        Seconds that the clocks of the two bots and of everything else are ahead.
    rate : float
        Faults for each call, drawn during the first minute.
    faults : Mapping[int, Fault]
        Those that are certain, by the number of the call.
    strikes : tuple[Strike, ...]
        Those that are certain, by the name of the call.
    """

    seed: int
    gates: int = 1
    shared: bool = False
    engine: EngineKind = EngineKind.LOCAL
    bots: int = 1
    token: bool = True
    quorum: int = 1
    timeout: int | None = None
    on_timeout: OnTimeout = OnTimeout.REJECT
    remind_every: int | None = None
    form: bool = False
    choice: bool = False
    named: bool = False
    sealed: bool = False
    second_opinion: bool = False
    skews: tuple[float, float, float] = (0.0, 0.0, 0.0)
    acts: tuple[Act, ...] = ()
    outages: tuple[Outage, ...] = ()
    rate: float = 0.0
    faults: Mapping[int, Fault] = field(default_factory=dict)
    strikes: tuple[Strike, ...] = ()

    def fault_drawer(self) -> Callable[[str, str], Fault | None]:
        rng = random.Random(f"faults {self.seed}")

        def draw(process: str, about: str) -> Fault | None:
            if rng.random() >= self.rate:
                return None
            kind = rng.choice(_KINDS)
            if kind.startswith("crash"):
                return (
                    None if process == "people" else Fault(kind, round(rng.uniform(3, 8 if self.seed % 3 else 20), 1))
                )
            return Fault(kind, round(rng.choice((2, 5, 12, 18)) * rng.uniform(0.8, 1.2), 1) if kind == "slow" else 0.0)

        return draw


def drawn(seed: int) -> Schedule:
    """Draw a history: two of three are small and short, and have more faults in less time."""
    rng = random.Random(f"schedule {seed}")
    small = seed % 3 != 0
    pace = 0.4 if small else 1.0
    gates = rng.choice((1, 1, 1, 2)) if small else rng.choice((1, 1, 2, 3, 5))
    shared = gates > 1 and rng.random() < 0.7
    quorum = 2 if rng.random() < 0.15 else 1
    timeout = rng.choice((10, 15) if small else (10, 25, 60)) if rng.random() < 0.25 else None
    acts: list[Act] = []
    for gate in range(gates):
        for who in range(quorum + (rng.random() < 0.3)):
            what = rng.choices(("approve", "reject", "line"), (6, 3, 1))[0]
            if quorum > 1 and what == "line":
                what = "approve"
            acts.append(Act(round(pace * rng.expovariate(1 / 8), 1), what, gate, who, rng.random() < 0.1))
    if shared and rng.random() < 0.6:
        acts = [replace(one, at=one.at + 5) for one in acts if rng.random() < 0.3 or quorum > 1]
        acts += [Act(round(pace * rng.uniform(1, 12), 1), "all", 0, who) for who in range(quorum)]
        acts += [Act(30.0 * pace, "approve", gate, who) for gate in range(gates) for who in range(quorum)]
    outages: list[Outage] = []
    for _ in range(rng.choices((0, 1, 2), (6, 3, 1))[0]):
        what, fault = rng.choice(_OUT)
        start, seconds = pace * rng.uniform(0, 25), pace * rng.choice((3, 15, 60)) * rng.random()
        outages.append(Outage(what, round(start, 1), round(seconds, 1), fault))
    more = random.Random(f"more {seed}")
    if more.random() < 0.2:
        acts = [replace(one, what="changes") if one.what == "reject" and not shared else one for one in acts]
    if more.random() < 0.2:
        acts += [Act(round(pace * more.uniform(0, 15), 1), "home", 0, more.randrange(3)) for _ in range(2)]
    form = more.random() < 0.2
    drawn = Schedule(
        seed=seed,
        form=form,
        gates=gates,
        shared=shared,
        engine=rng.choice((EngineKind.LOCAL, EngineKind.ARGO)),
        bots=rng.choice((1, 2, 2)),
        token=rng.random() < 0.6,
        quorum=quorum,
        timeout=timeout,
        on_timeout=rng.choice((OnTimeout.REJECT, OnTimeout.APPROVE)),
        remind_every=rng.choice((8, 20)) if rng.random() < 0.2 else None,
        skews=tuple(rng.choice((0.0, 0.0, rng.uniform(-4, 4), rng.uniform(-15, 15))) for _ in range(3)),  # type: ignore[arg-type]
        acts=tuple(sorted(acts, key=lambda act: act.at)),
        outages=tuple(outages),
        rate=rng.choice((0.0, 0.01, 0.03, 0.05) if small else (0.0, 0.003, 0.01, 0.03)),
    )
    return _widened(drawn, random.Random(f"wider {seed}"), pace)


def _widened(one: Schedule, rng: random.Random, pace: float) -> Schedule:
    """Add what few histories need."""
    acts = list(one.acts)
    if named := rng.random() < 0.15:
        acts += [
            Act(round(pace * rng.uniform(0, 12), 1), "delegate", 0, who) for who in (0, 0, 1) if rng.random() < 0.6
        ]
        acts += [Act(round(pace * rng.uniform(2, 20), 1), "take back", 0, 0) for _ in range(2) if rng.random() < 0.4]
        answer = "all" if one.shared else "approve"
        acts = [act for act in acts if act.who or act.what not in _ANSWERS]  # Alice is away for a while
        acts += [Act(round(pace * rng.uniform(3, 15), 1), answer, gate, 1) for gate in range(one.gates)]
        acts += [Act(25.0 * pace, answer, gate, 0) for gate in range(one.gates)]
    if rng.random() < 0.25:
        others = ("except", "except", "typed", "from home") if one.shared else ("typed", "typed no", "from home")
        acts = [
            replace(act, what=rng.choice(others)) if rng.random() < 0.5 and act.what in _ANSWERS else act
            for act in acts
        ]
    sealed = rng.random() < 1 / 8
    if second_opinion := rng.random() < 0.15:
        far = tuple(rng.choice((0.0, rng.uniform(-600, 600), rng.uniform(-60, 60))) for _ in range(2))
        one = replace(one, skews=(*far, one.skews[2]))
    return replace(
        one,
        acts=tuple(sorted(acts, key=lambda act: act.at)),
        named=named,
        sealed=sealed,
        second_opinion=second_opinion,
        choice=rng.random() < 0.15,
    )


def shrunk(schedule: Schedule, faults: Mapping[int, Fault], fails: Callable[[Schedule], bool]) -> Schedule:
    """Return a smaller schedule that fails as well.

    Parameters
    ----------
    faults : Mapping[int, Fault]
        All that happened, those that were drawn too.
    """
    exact = replace(schedule, faults=dict(faults), strikes=(), rate=0.0)
    smallest = exact if fails(exact) else schedule
    while True:
        smaller = next((one for one in _smaller(smallest) if fails(one)), None)
        if smaller is None:
            return smallest
        smallest = smaller


def _smaller(one: Schedule) -> Iterator[Schedule]:
    yield from _with_fewer_faults(one)
    yield from _with_fewer_acts(one)
    plain = Schedule(seed=one.seed)
    for name in (*_PARTS, "form", "choice", "named", "sealed"):
        if getattr(one, name) != getattr(plain, name):
            yield replace(one, **{name: getattr(plain, name)})


def _with_fewer_faults(one: Schedule) -> Iterator[Schedule]:
    numbers = list(one.faults)
    if len(numbers) > 3:
        for half in (0, 1):
            yield replace(one, faults={number: one.faults[number] for number in numbers[half::2]})
    for left_out in numbers:
        yield replace(one, faults={number: fault for number, fault in one.faults.items() if number != left_out})
    for place in range(len(one.outages)):
        yield replace(one, outages=one.outages[:place] + one.outages[place + 1 :])


def _with_fewer_acts(one: Schedule) -> Iterator[Schedule]:
    for place in range(len(one.acts)):
        yield replace(one, acts=one.acts[:place] + one.acts[place + 1 :])
    if last := one.gates - 1:
        yield replace(one, gates=last, acts=tuple(act for act in one.acts if act.gate < last))
    for place, act in enumerate(one.acts):
        if act.twice:
            yield replace(one, acts=(*one.acts[:place], replace(act, twice=False), *one.acts[place + 1 :]))
