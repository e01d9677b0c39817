"""The model: a residual stack of diagonal SSM blocks between an encoder and a readout.

Norms are here too: batch norm leaves padded samples out, and both take the padding.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ssmspec.errors import UsageError
from ssmspec.training.config import Decayed, ModelConfig, Norm
from ssmspec.training.model.initialize import new_layer
from ssmspec.training.model.layers import DiagonalLayer
from ssmspec.training.tasks.base import Data, Readout, Target


def build_model(config: ModelConfig, data: Data, seed: int) -> SequenceModel:
    """A new model for a task, on the CPU.

    The same arguments give the same weights, and torch's global random state stays as it was. The
    poles of layer i are those of the scheme at seed (seed, i), as `ssmspec reinit` draws them.

    Args:
        config: of the model.
        data: of the task; only its description is used.
        seed: non-negative.

    Raises:
        UsageError: a setting makes no sense, or the task is causal and the model is not.
        SchemeError: the layers cannot hold the scheme.
    """
    if config.bidirectional and data.causal:
        raise UsageError(
            "the task is causal, its answers may depend on earlier samples only; a bidirectional "
            "model would see later ones"
        )
    layers = [new_layer(config, seed, number) for number in range(config.n_layers)]
    for layer in layers:
        layer.freeze(config.freeze)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # of the CPU alone
        return SequenceModel(config, data, layers)


class Block(nn.Module):
    """Norm, SSM, GELU and a gated linear mix of features, around which the input is added.

    Attributes:
        recompute: make what lies between the norm and the sum again for the gradient, rather than
            keep it. (The norm is left out: it would move its running moments twice.)
    """

    def __init__(self, config: ModelConfig, ssm: DiagonalLayer) -> None:
        super().__init__()
        self.prenorm = config.prenorm
        self.recompute = False
        self.norm = new_norm(config.norm, config.d_model)
        self.ssm = ssm
        self.mix = nn.Linear(config.d_model, 2 * config.d_model)
        self.dropout = Dropout(config.dropout, tied=config.tie_dropout)

    def forward(
        self, x: Tensor, padding: Tensor | None, rate: float, kernel_taps: int | None
    ) -> Tensor:
        """(B, L, H) to (B, L, H); padded samples, (B, L), are silent to the SSM."""
        u = self.norm(x, padding) if self.prenorm else x
        if padding is not None:
            u = u.masked_fill(padding.unsqueeze(-1), 0.0)
        if self.recompute and self.training:
            y = checkpoint(self._mixed, u, rate, kernel_taps, use_reentrant=False)
        else:
            y = self._mixed(u, rate, kernel_taps)
        x = x + y
        return x if self.prenorm else self.norm(x, padding)

    def _mixed(self, u: Tensor, rate: float, kernel_taps: int | None) -> Tensor:
        y = self.ssm(u.transpose(1, 2), rate, kernel_taps).transpose(1, 2).contiguous()
        y = self.dropout(nn.functional.gelu(y))
        mixed: Tensor = self.dropout(nn.functional.glu(self.mix(y), dim=-1))
        return mixed


class SequenceModel(nn.Module):
    """Encoder, blocks and readout.

    With `prenorm` the sum of all blocks is normalized once more before the readout. Where sequences
    are padded, neither what a padded sample holds nor how many there are changes the answer.

    Attributes:
        blocks: the stack; `blocks.<i>.ssm` holds the poles.
    """

    def __init__(self, config: ModelConfig, data: Data, layers: list[DiagonalLayer]) -> None:
        super().__init__()
        features = config.d_model
        self.pooled = data.target is Target.CLASS
        self.readout = data.readout
        self.encoder: nn.Module = (
            nn.Linear(data.d_input, features)
            if data.vocabulary is None
            else nn.Embedding(data.vocabulary, features)
        )
        self.blocks = nn.ModuleList(Block(config, layer) for layer in layers)
        self.norm = new_norm(config.norm, features) if config.prenorm else None
        self.decoder = nn.Linear(features, data.d_output)

    def forward(
        self,
        x: Tensor,
        lengths: Tensor | None = None,
        *,
        rate: float = 1.0,
        kernel_taps: int | None = None,
    ) -> Tensor:
        """The answers.

        Args:
            x: float (B, L, d_input), or int64 tokens (B, L).
            lengths: int64 (B,), at least 1: samples that count; None where all do.
            rate: R where `x` is sampled at 1/R of the rate of training.
            kernel_taps: lags after which every kernel is cut to 0; None for all.

        Returns:
            (B, d_output) for `Target.CLASS`, otherwise (B, L, d_output).
        """
        padding = None
        if lengths is not None:
            padding = torch.arange(x.shape[1], device=x.device) >= lengths.unsqueeze(1)  # (B, L)
            x = x.masked_fill(padding if x.ndim == 2 else padding.unsqueeze(-1), 0)
        x = self.encoder(x)  # (B, L, H)
        for block in self.blocks:
            x = block(x, padding, rate, kernel_taps)
        if self.norm is not None:
            x = self.norm(x, padding)
        answers: Tensor = self.decoder(self._pool(x, lengths, padding) if self.pooled else x)
        return answers

    def recompute(self, on: bool) -> None:
        """Whether blocks make their activations again for the gradient, rather than keep them."""
        for block in self.blocks:
            if isinstance(block, Block):
                block.recompute = on

    def _pool(self, x: Tensor, lengths: Tensor | None, padding: Tensor | None) -> Tensor:
        """(B, L, H) to (B, H)."""
        if lengths is None or padding is None:
            return x.mean(1) if self.readout is Readout.MEAN else x[:, -1]
        if self.readout is Readout.LAST:
            return x[torch.arange(len(x), device=x.device), lengths - 1]
        total = x.masked_fill(padding.unsqueeze(-1), 0.0).sum(1)
        return total / lengths.unsqueeze(1)

    def parameter_groups(
        self, lr: float, ssm_lr: float, weight_decay: float, decayed: Decayed = Decayed.WEIGHTS
    ) -> list[dict[str, Any]]:
        """Every parameter that trains, in exactly one group for an optimizer.

        Poles and step sizes learn at `ssm_lr` and do not decay, as in state-spaces/s4. All else
        learns at `lr`, and `decayed` says what of it decays. A group without parameters is left
        out.

        Returns:
            Dicts of `name` ("poles", "plain" or "decayed"), `params`, `lr` and `weight_decay`.
        """
        members: dict[str, list[nn.Parameter]] = {"poles": [], "plain": [], "decayed": []}
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                members[self._group(name, parameter, decayed)].append(parameter)
        rates = {"poles": (ssm_lr, 0.0), "plain": (lr, 0.0), "decayed": (lr, weight_decay)}
        return [
            {"name": group, "params": parameters, "lr": rate, "weight_decay": decay}
            for group, (rate, decay) in rates.items()
            if (parameters := members[group])
        ]

    def _group(self, name: str, parameter: nn.Parameter, decayed: Decayed) -> str:
        path, _, leaf = name.rpartition(".")
        module = self.get_submodule(path)
        if isinstance(module, DiagonalLayer):
            if leaf in module.POLES:
                return "poles"
            return "decayed" if decayed is Decayed.S4 else "plain"
        if isinstance(module, nn.Embedding) and decayed is Decayed.S4:
            return "plain"
        return "plain" if parameter.ndim < 2 else "decayed"


class Dropout(nn.Module):
    """Features that are dropped while training, the others made louder to keep the mean.

    Args:
        share: of features, in [0, 1).
        tied: whether a feature is dropped at all samples of a sequence or at none, so that what is
            left is still a signal (`DropoutNd` of state-spaces/s4).
    """

    def __init__(self, share: float, *, tied: bool) -> None:
        super().__init__()
        self.share, self.tied = share, tied

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, H) to (B, L, H)."""
        if not self.training or not self.share:
            return x
        if not self.tied:
            return nn.functional.dropout(x, self.share)
        return x * nn.functional.dropout(x.new_ones(len(x), 1, x.shape[-1]), self.share)


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
        flat = x.flatten(0, 1)  # (B L, H)
        if padding is None or not self.training:
            return super().forward(flat).view_as(x)
        # Sums over what is there, rather than a selection of it: how much that is, only the device
        # knows, and nobody waits for it.
        kept = ~padding.reshape(-1, 1)  # (B L, 1)
        values = flat.float()
        count = kept.sum().to(values.dtype)
        mean = values.masked_fill(~kept, 0.0).sum(0) / count  # (H,)
        centered = (values - mean).masked_fill(~kept, 0.0)
        variance = centered.square().sum(0) / count
        self._follow(mean.detach(), variance.detach() * count / (count - 1.0).clamp(min=1.0))
        scaled = centered * (torch.rsqrt(variance + self.eps) * self.weight)
        return torch.where(kept, scaled + self.bias, 0.0).view_as(x)

    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running moments, as `torch.nn.BatchNorm1d` does."""
        with torch.no_grad():
            for running, new in ((self.running_mean, mean), (self.running_var, variance)):
                if running is not None and self.momentum is not None:
                    running.lerp_(new, self.momentum)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.add_(1)


def new_norm(kind: Norm, features: int) -> LayerNorm | BatchNorm:
    """A normalization of so many features."""
    return LayerNorm(features) if kind is Norm.LAYER else BatchNorm(features)
