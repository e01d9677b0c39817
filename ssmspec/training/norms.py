"""Normalization of features (B, L, H), where padded samples count for nothing."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ssmspec.training.config import Norm


class LayerNorm(nn.LayerNorm):
    """Each sample by its own mean and variance over features."""

    def forward(self, x: Tensor, _padding: Tensor | None = None) -> Tensor:
        """(B, L, H) to (B, L, H)."""
        return super().forward(x)


class BatchNorm(nn.BatchNorm1d):
    """Each feature by its mean and variance over a batch, padded samples left out.

    With several processes each normalizes by its own part of the batch.
    """

    def forward(self, x: Tensor, padding: Tensor | None = None) -> Tensor:
        """(B, L, H) to (B, L, H), with 0 at padded samples, (B, L), while training."""
        flat = x.flatten(0, 1)
        if padding is None or not self.training:
            return super().forward(flat).view_as(x)
        kept = ~padding.reshape(-1, 1)
        normalized = super().forward(flat[kept[:, 0]])
        return (
            torch.zeros_like(flat, dtype=normalized.dtype)
            .masked_scatter(kept, normalized)
            .view_as(x)
        )


def new_norm(kind: Norm, features: int) -> LayerNorm | BatchNorm:
    """A normalization of so many features."""
    return LayerNorm(features) if kind is Norm.LAYER else BatchNorm(features)
