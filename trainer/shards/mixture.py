"""Which samples an epoch uses, and how often, when sources are mixed by weight.

A source of weight w contributes w times its samples to an epoch. Its samples are laid out in an endless sequence of permutations, and each
epoch takes the next piece: with weight 0.5, two epochs use every sample once; with weight 2, one epoch uses every sample twice. The pieces
depend on seed and epoch only, so a resumed run neither repeats nor loses a sample.
"""

from __future__ import annotations

import difflib
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from numpro_plugin.errors import NumProError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from ..recipe.sections import SourceShare
    from .index import ShardIndex


@dataclass(frozen=True, eq=False)
class SourcePart:
    """What one source contributes."""

    name: str
    samples: NDArray[np.int64]
    """(n,) the samples of the source that are used at all, ascending."""
    available: int
    """How many it has; more than those that are used if there is a limit."""
    weight: float

    @property
    def per_epoch(self) -> int:
        """How many samples it contributes to an epoch; at least one, unless its weight is 0."""
        return max(1, round(self.weight * len(self.samples))) if self.weight and len(self.samples) else 0

    def epoch(self, epoch: int, seed: int) -> NDArray[np.int64]:
        """(per_epoch,) its samples in an epoch, in random order."""
        start, count = epoch * self.per_epoch, len(self.samples)
        pieces = []
        for cycle in range(start // count if count else 0, -(-(start + self.per_epoch) // count) if count else 0):
            order = np.random.default_rng([seed, zlib.crc32(self.name.encode()), cycle]).permutation(count)
            pieces.append(self.samples[order[max(0, start - cycle * count) : start + self.per_epoch - cycle * count]])
        return np.concatenate([np.zeros(0, dtype=np.int64), *pieces])


@dataclass(frozen=True, eq=False)
class Mixture:
    """The parts of all sources; see ``of``."""

    parts: tuple[SourcePart, ...]
    """In the order of the recipe; empty: every sample once."""
    total: int
    """Number of samples in the shards."""
    seed: int = 0

    @classmethod
    def of(cls, index: ShardIndex, shares: Mapping[str, SourceShare], *, seed: int, usable: NDArray[np.bool_] | None = None) -> Mixture:
        """The mixture of a recipe.

        Args:
            index: of the shards.
            shares: weight and limit by source; empty: every sample once.
            seed: of limits and orders.
            usable: (N,) which samples can be put into the recipe's encoding; None: all.

        Raises:
            NumProError: a source is not in the shards, one of the shards is not named, or nothing is left.
        """
        if not shares and (usable is None or usable.all()):
            return cls((), index.samples, seed)
        can = np.ones(index.samples, dtype=bool) if usable is None else usable
        if not shares:
            parts = [SourcePart("all", np.flatnonzero(can), index.samples, 1.0)]
            return cls(tuple(parts), index.samples, seed)
        for name in shares:
            if name not in index.sources:
                near = difflib.get_close_matches(name, index.sources, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise NumProError(f"data.sources names {name!r}, but the shards have {', '.join(index.sources)}{hint}")
        if unnamed := [name for name in index.sources if name not in shares]:
            raise NumProError(
                f"data.sources has no weight for {', '.join(unnamed)}, which the shards have, too: add data.sources.{unnamed[0]}=1 "
                "(or 0 to leave it out)"
            )
        of_sample = index.row_sources[index.sample_rows]
        parts = []
        for name, share in shares.items():
            own = np.flatnonzero((of_sample == index.sources.index(name)) & can)
            used = own
            if share.limit and share.limit < len(own):
                used = np.sort(np.random.default_rng([seed, zlib.crc32(name.encode())]).choice(own, share.limit, replace=False))
            parts.append(SourcePart(name, used, len(own), share.weight))
        mixture = cls(tuple(parts), index.samples, seed)
        if not mixture.samples:
            raise NumProError("data.sources leaves no sample: give at least one source a weight above 0")
        return mixture

    @property
    def samples(self) -> int:
        """Number of samples in an epoch."""
        return sum(part.per_epoch for part in self.parts) if self.parts else self.total

    def epoch(self, epoch: int) -> NDArray[np.int64]:
        """(samples,) the samples of an epoch; some may occur several times."""
        if not self.parts:
            return np.arange(self.total)
        return np.concatenate([part.epoch(epoch, self.seed) for part in self.parts])

    def counts(self, epoch: int) -> NDArray[np.int64]:
        """(N,) how often an epoch uses each of the shards' samples."""
        return np.bincount(self.epoch(epoch), minlength=self.total)

    def used(self) -> NDArray[np.int64]:
        """The samples that are ever used, ascending, without repetition."""
        if not self.parts:
            return np.arange(self.total)
        return np.sort(np.concatenate([part.samples for part in self.parts if part.per_epoch]))

    def __str__(self) -> str:
        """For people: one line a source."""
        if not self.parts:
            return f"{self.total:,} samples an epoch, every sample of the shards once"
        lines = [f"{self.samples:,} samples an epoch"]
        for part in self.parts:
            limited = f", limited to {len(part.samples):,}" if len(part.samples) < part.available else ""
            share = 100 * part.per_epoch / self.samples
            lines.append(
                f"  {part.name}: {part.per_epoch:,} ({share:.1f} %) = weight {part.weight:g} x {part.available:,} samples{limited}"
            )
        return "\n".join(lines)
