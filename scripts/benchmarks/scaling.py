"""What a campaign costs beside its molecules: bookkeeping, processes, listing, status, table and page.

    python scripts/benchmarks/scaling.py [--json [FILE]] [--quick]

Molecules that cost nothing are seen to their end by one worker, first without processes of their own, which
leaves the bookkeeping on disk alone, then some of them each in its process.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness import Benchmark, Column, Recorder, figure, option_parser, table

from boltzgen.campaign.collection import collect_campaign
from boltzgen.campaign.folder import CampaignConfig, CampaignFolder, begin
from boltzgen.campaign.molecule import Ending
from boltzgen.campaign.status import Watcher
from boltzgen.campaign.worker import Worker
from boltzgen.records.campaign import Entry
from boltzgen.report.comparison import Rows
from boltzgen.workflows.config import SampleConfig

SIZES = (1_000, 10_000)
QUICK_SIZES = (100, 1_000)
IN_PROCESSES = 100
SMILES = "CC(=O)Oc1ccccc1C(=O)O"  # of every picture on the page


def tables(figures: Any) -> list[Rows]:
    columns = [
        Column("molecules", figure("molecules", ",")),
        Column("list written, s", figure("listed", ".2f")),
        Column("claim to outcome, ms a molecule", figure("bookkeeping", ".2f", 1e3)),
        Column("of them all ended: started again, s", figure("again", ".3f")),
        Column("status, s", figure("status", ".3f")),
        Column("collect, s", figure("collect", ".2f")),
        Column("campaign.csv, MB", figure("table_bytes", ".2f", 1e-6)),
        Column("index.html, MB", figure("page_bytes", ".2f", 1e-6)),
    ]
    processes = [
        Column("molecules", figure("molecules", ",")),
        Column("ms a molecule with its process", figure("seconds", ".1f", 1e3)),
    ]
    return [table("", figures["sizes"], columns), table("", [figures["processes"]], processes)]


BENCHMARK = Benchmark(
    name="scaling",
    title="Campaigns of many molecules",
    text=(
        "Overhead of `boltzgen campaign` with molecules that cost nothing, by one worker on a local disk; on"
        " a shared file system the operations on files take its times. A molecule's process is forked from"
        " one that has imported everything."
    ),
    command="python scripts/benchmarks/scaling.py --json",
    tables=tables,
)


def nothing(config: SampleConfig, run: Path) -> Ending:
    """A molecule that costs nothing."""
    return Ending("converged")


def campaign(path: Path, n: int) -> CampaignFolder:
    """A campaign of ``n`` molecules of which none is looked at."""
    source = path.with_suffix(".smi")
    source.write_text(str(n))
    entries = [
        Entry(name=f"m{k}", smiles=SMILES, line=k + 1, canonical=f"m{k}", n_atoms=21) for k in range(n)
    ]
    settings = CampaignConfig(sample=SampleConfig(molecule="", budget_seconds=10.0))
    return begin(path, settings, source, lambda _: entries)


def seconds(work: Callable[[], object]) -> float:
    """Wall seconds that ``work`` takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def measured(path: Path, n: int) -> dict[str, float]:
    """Seconds and bytes of a campaign of ``n`` molecules without processes."""

    def work() -> int:
        return Worker(folder, work=nothing, run=lambda work, given, limits, log: work(*given)).run()

    listed = seconds(lambda: campaign(path, n))
    folder = CampaignFolder(path)
    found: dict[str, float] = {"molecules": n, "listed": listed, "bookkeeping": seconds(work) / n}
    folder = CampaignFolder(path)
    found["again"] = seconds(work)
    found["status"] = seconds(lambda: Watcher(CampaignFolder(path)).look())
    found["collect"] = seconds(lambda: collect_campaign(CampaignFolder(path)))
    found["table_bytes"] = (path / "campaign.csv").stat().st_size
    found["page_bytes"] = (path / "index.html").stat().st_size
    return found


def main() -> None:
    parser = option_parser(BENCHMARK, __doc__, f"{QUICK_SIZES} molecules")
    arguments = parser.parse_args()
    recorder = Recorder(BENCHMARK, arguments.json, arguments.quick)
    with tempfile.TemporaryDirectory() as temporary:
        folder = campaign(Path(temporary) / "processes", IN_PROCESSES)
        Worker(campaign(Path(temporary) / "first", 1), work=nothing).run()  # the server of processes starts
        spent = seconds(Worker(folder, work=nothing).run)
        figures: dict[str, Any] = {
            "processes": {"molecules": IN_PROCESSES, "seconds": spent / (IN_PROCESSES)},
            "sizes": [],
        }
        for n in QUICK_SIZES if arguments.quick else SIZES:
            figures["sizes"].append(measured(Path(temporary) / str(n), n))
            recorder.keep(figures)
    BENCHMARK.show(figures)


if __name__ == "__main__":
    main()
