"""``boltzgen collect``: one table, one file of conformers and one page of a campaign."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from boltzgen.cli.exits import errors


def collect(
    runs: Annotated[Path, typer.Argument(help="Folder of a campaign.")],
) -> None:
    """Write campaign.csv, campaign.parquet, campaign.sdf and index.html of all molecules of a campaign."""
    from boltzgen.campaign.collection import collect_campaign
    from boltzgen.campaign.folder import CampaignFolder

    for sentence in collect_campaign(CampaignFolder(runs)):
        errors.print(sentence, markup=False, highlight=False, soft_wrap=True)
