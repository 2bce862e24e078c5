"""What the demo prints in the end: the summary as a table, or as JSON."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from planet_async.cli.demo.audit import Check
from planet_async.cli.demo.job import Job
from planet_async.cli.output import clean, size_text, state_text


@frozen(kw_only=True)
class DemoReport:
    """The facts and the checks."""

    url: str
    job: Job
    requests: Mapping[str, int]
    checks: Sequence[Check]
    elapsed: float
    folder: Path | None

    @property
    def failed(self) -> list[Check]:
        """The checks that failed."""
        return [check for check in self.checks if not check.good]

    @property
    def states(self) -> Counter[str]:
        """The orders by final state, as the API lists them."""
        return Counter(str(order.state) for order in self.job.listed)

    @property
    def document(self) -> dict[str, Any]:
        """The summary as JSON."""
        return {
            "ok": not self.failed,
            "orders": dict(sorted(self.states.items())),
            "requests": dict(sorted(self.requests.items())),
            "files": self.job.verified.files + self.job.verified.manifests,
            "bytes": self.job.verified.bytes,
            "checksums_verified": self.job.verified.files,
            "cancelled": self.job.cancelled.succeeded,
            "elapsed_seconds": round(self.elapsed, 2),
            "rate_limits": "lifted on both sides",
            "folder": None if self.folder is None else str(self.folder),
            "checks": [
                {"title": check.title, "ok": check.good, "found": clean(check.found)} for check in self.checks
            ],
        }

    def table(self) -> RenderableType:
        """The summary for a person."""
        job, verified = self.job, self.job.verified
        made = Table(box=box.SIMPLE_HEAD, show_header=False, pad_edge=False)
        made.add_column(style="bold")
        made.add_column(justify="right")
        made.add_column(style="dim", overflow="fold")
        for title, rows in (
            ("Orders", [(state_text(state), count, "") for state, count in self.states.most_common()]),
            ("Requests", [(Text(what), self.requests[what], "") for what in sorted(self.requests)]),
        ):
            made.add_row(title, f"[bold]{sum(count for _, count, _ in rows):,}[/]", "")
            for name, count, note in rows:
                made.add_row(Text.assemble("  ", name, style="not bold"), f"{count:,}", note)
            made.add_section()
        where = Text("in a temporary folder, removed by now" if self.folder is None else f"in {self.folder}")
        made.add_row("Files", f"{verified.files + verified.manifests:,}", where)
        made.add_row("Bytes", size_text(verified.bytes), "")
        made.add_row(
            "Checksums verified",
            f"{verified.files:,}",
            "all files but the manifests, read again from the disk",
        )
        made.add_row(
            "Cancelled",
            f"{job.cancelled.succeeded:,}",
            f"of {len(job.to_cancel):,} more orders that stayed queued, in one request",
        )
        made.add_row("Elapsed", f"{self.elapsed:.1f} s", "without the rate limits of the real API")
        checks = Table.grid(padding=(0, 1))
        for check in self.checks:
            mark = Text("✔", style="green") if check.good else Text("✘", style="bold red")
            checks.add_row(mark, check.title, Text(clean(check.found), style="dim" if check.good else "red"))
        verdict = (
            Text("All checked, all right.", style="bold green")
            if not self.failed
            else Text(f"{len(self.failed)} of {len(self.checks)} checks failed.", style="bold red")
        )
        return Group(made, checks, Text(), verdict)
