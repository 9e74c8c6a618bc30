"""What was measured, as markdown."""
import statistics
from dataclasses import dataclass
from typing import Optional


class Result:
    """A contender's runs as one: the best of them, since whatever else a machine does only adds time; the
    median where a run is so short that the best is luck."""

    def __init__(self, contender, runs, median):
        of = statistics.median if median else min
        self.contender = contender
        self.jobs, self.count = contender.jobs, contender.count
        self.wall = of(run.wall for run in runs)
        self.cpu = of(run.cpu for run in runs)
        self.memory = max(run.memory for run in runs)

    @property
    def per_job(self):
        return self.wall / self.count


@dataclass
class Goal:
    name: str
    # "≥ 0.95"
    target: str
    measured: Optional[float]
    reached: bool

    @staticmethod
    def limit(name, most, result, value):
        measured = value(result) if result else None
        return Goal(name, f"≤ {most}", measured, result is not None and measured <= most)

    @staticmethod
    def at_most(name, most, result, base):
        ratio = result.per_job / base.per_job if result and base else None
        return Goal(name, f"≤ {most}", ratio, ratio is not None and ratio <= most)

    @staticmethod
    def at_least(name, least, base, result):
        """How many times as many jobs per second."""
        ratio = base.per_job / result.per_job if result and base else None
        return Goal(name, f"≥ {least}", ratio, ratio is not None and ratio >= least)


def table(title, results, missing):
    """A row for each contender; the first is the measure of the others."""
    base = results[0] if results else None
    lines = [
        f"### {title}\n",
        "| contender | jobs | time | per job | processor per job | rate, × the first | peak memory |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for result in results:
        lines.append(
            f"| {result.contender.name} | {result.count:,} | {result.wall:.3f} s | {duration(result.per_job)} "
            f"| {duration(result.cpu / result.count)} | {base.per_job / result.per_job:.3g} "
            f"| {size(result.memory)} |"
        )
    lines += [f"| {contender.name} | | {contender.missing} | | | | |" for contender in missing]
    return "\n".join(lines) + "\n"


def duration(seconds):
    if seconds >= 1:
        return f"{seconds:.2f} s"
    return f"{seconds * 1e3:.1f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.2f} µs"


def size(peak):
    # One that ended before it was looked at has none.
    return f"{peak / (1 << 20):.0f} MiB" if peak else "–"


def goals(all_goals):
    lines = ["### Goals\n", "| goal | target | measured | |", "|---|--:|--:|---|"]
    for goal in all_goals:
        measured = "–" if goal.measured is None else f"{goal.measured:.3g}"
        verdict = "not measured" if goal.measured is None else "reached" if goal.reached else "**not reached**"
        lines.append(f"| {goal.name} | {goal.target} | {measured} | {verdict} |")
    return "\n".join(lines) + "\n"
