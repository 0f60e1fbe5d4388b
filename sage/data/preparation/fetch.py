"""The eight benchmarks from the hub, at fixed revisions, as the files that evaluation and contamination check read."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from sage.evaluation.benchmarks import find_benchmark, load_benchmark
from sage.support.rows import SUFFIXES

if TYPE_CHECKING:
    from huggingface_hub import HfApi


@dataclass(frozen=True)
class Release:
    repository: str
    revision: str
    """A commit, so that the file never changes."""
    rows: int
    file: str = "test*"
    """Its name in the repository, or a pattern that one file has; folders do not count."""


RELEASES: Mapping[str, Release] = {
    "aime24": Release("math-ai/aime24", "83a7f387baaa524a8bda0022eac0541582297103", 30),
    "aime25": Release("math-ai/aime25", "563bb8404243c5f09de6ec262f2db674fe5bce9b", 30),
    "amc23": Release("math-ai/amc23", "80815d37005feb82cd7f8fbc6901d5d3eff43057", 40),
    "math500": Release("HuggingFaceH4/MATH-500", "6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be", 500),
    "minerva": Release("math-ai/minervamath", "ee46ddc498933b1977577953250ca5c66be64f96", 272),
    "olympiadbench": Release("math-ai/olympiadbench", "4faaf1e6ec17d11a4218a9bf4c049ecaf954dd84", 674),
    "gpqa": Release("Idavidrein/gpqa", "633f5ee89ab8ad4522a9f850766b73f62147ffdd", 198, "gpqa_diamond.csv"),
    "mmlu_pro": Release("TIGER-Lab/MMLU-Pro", "b189ec765aa7ed75c8acfea42df31fdae71f97be", 12032),
}


def fetch_benchmark(name: str, folder: Path, api: HfApi) -> str:
    """Download a benchmark into a folder, unless its file is there.

    Returns:
        What was done, in words.

    Raises:
        ValueError: the hub cannot be reached, does not give the file, or it is not the one that is expected. Nothing is
            left in the folder.
    """
    if there := find_benchmark(name, folder):
        return f"{there.name} is there already"
    release = RELEASES[name]
    with tempfile.TemporaryDirectory(dir=folder, prefix=f".{name}-") as temporary:
        downloaded = _download(release, Path(temporary), api)
        problems = len(load_benchmark(name, downloaded))
        if problems != release.rows:
            raise ValueError(f"{release.repository} has {problems} problems where {release.rows} are expected")
        made = folder / f"{name}{downloaded.suffix}"
        os.replace(downloaded, made)
    return f"{problems} problems of {release.repository} at {release.revision[:12]} -> {made}"


def _download(release: Release, folder: Path, api: HfApi) -> Path:
    import httpx
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError

    where, commit = release.repository, release.revision
    try:
        names = api.list_repo_files(where, repo_type="dataset", revision=commit)
        named = [name for name in names if fnmatch(PurePosixPath(name).name, release.file)]
        files = [name for name in named if PurePosixPath(name).suffix in SUFFIXES]
        if len(files) != 1:
            found = ", ".join(files or names[:20]) or "nothing"
            raise ValueError(f"{where} should have one file {release.file}, but has {found}")
        return Path(api.hf_hub_download(where, files[0], repo_type="dataset", revision=commit, local_dir=folder))
    except GatedRepoError as error:
        raise ValueError(
            f"{where} is behind a gate: accept its conditions at {api.endpoint}/datasets/{where}, log in with `hf auth "
            "login` or set HF_TOKEN, and run the same command again"
        ) from error
    except (HfHubHTTPError, httpx.HTTPError, OSError) as error:
        reason = next(iter(str(error).splitlines()), "")
        raise ValueError(f"{where} cannot be read from {api.endpoint} ({type(error).__name__}: {reason})") from error
