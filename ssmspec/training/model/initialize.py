"""New SSM layers, from an initialization scheme."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from ssmspec.errors import SchemeError, UsageError
from ssmspec.families.dfout import input_gain, start_variance
from ssmspec.schemes import SCHEMES, Draw, Kind, Scheme
from ssmspec.training.config import InputGain, ModelConfig
from ssmspec.training.model.layers import DiagonalLayer, DiscreteLayer, S4DLayer


def new_layer(config: ModelConfig, seed: int, number: int) -> DiagonalLayer:
    """One layer with the scheme's poles, and C and D drawn as the family's public code draws them.

    D is normal. C is complex normal: of variance 1 in an S4D layer, as in state-spaces/s4; in a
    discrete layer of the variance at which kernels have energy 1 on average, so that white noise
    comes out about as loud as it goes in. (With variance 1 it comes out 8 times louder at N = 64
    under the unit-energy gain, 100 times under that of zero-order hold.)

    A scheme whose modes fill the whole circle (`lru-ring`) gives those of the upper half-plane with
    the same kernels, Re(c l^k) = Re(conj(c) conj(l)^k). One whose poles are real (`s4d-real`)
    starts with angles 0, which training moves unless they are frozen.

    Args:
        config: of the model; the poles are drawn from (seed, number) as `ssmspec reinit` does.
        seed: non-negative.
        number: the layer's place, from 0.

    Raises:
        UsageError: no such scheme, an option it does not read, or an input gain for a layer that
            has none.
        SchemeError: no layer can hold the scheme.
    """
    scheme = SCHEMES.require(config.scheme)
    if scheme.dt_per_state:
        held = ", ".join(name for name, each in SCHEMES.items() if not each.dt_per_state)
        raise SchemeError(
            f"{scheme.id} has one step size for each state, and a layer holds one for each "
            f"channel; choose from {held}"
        )
    if scheme.kind is Kind.DISCRETE:
        return _discrete(config, scheme, (seed, number))
    if config.input_gain is not InputGain.UNIT_ENERGY:
        raise UsageError(
            f"an input gain is for layers of discrete poles; {scheme.id} makes S4D layers, whose "
            f"input is held for one step"
        )
    return _continuous(config, scheme, (seed, number))


def _discrete(config: ModelConfig, scheme: Scheme, seed: tuple[int, int]) -> DiscreteLayer:
    log_poles = _drawn(config, scheme, seed).log_poles
    decay = -log_poles.real
    _require_damping(scheme, bool((decay > 0.0).all()))
    is_shared = bool((decay == decay[:, :1]).all())
    unit_energy = config.input_gain is InputGain.UNIT_ENERGY
    variance = start_variance(log_poles, input_gain(log_poles, unit_energy=unit_energy))
    outputs, feedthrough = _outputs(config, variance, seed)
    return DiscreteLayer(
        torch.from_numpy(2.0 * (decay[:, 0] if is_shared else decay)),
        torch.from_numpy(abs(log_poles.imag)),
        outputs,
        feedthrough,
        config.input_gain,
    )


def _continuous(config: ModelConfig, scheme: Scheme, seed: tuple[int, int]) -> S4DLayer:
    draw = _drawn(config, scheme, seed)
    if draw.poles is None or draw.dt is None:
        raise SchemeError(f"{scheme.id} is continuous and gave no continuous poles")
    _require_damping(scheme, bool((draw.poles.real < 0.0).all()))
    outputs, feedthrough = _outputs(config, 1.0, seed)
    return S4DLayer(
        torch.from_numpy(draw.dt[:, 0]),
        torch.from_numpy(draw.poles.real + 1j * abs(draw.poles.imag)),
        outputs,
        feedthrough,
    )


def _drawn(config: ModelConfig, scheme: Scheme, seed: tuple[int, int]) -> Draw:
    return scheme.draw(config.d_model, config.modes, seed, options=config.options)


def _require_damping(scheme: Scheme, every_mode_decays: bool) -> None:
    if not every_mode_decays:
        raise SchemeError(
            f"a layer trains the logarithm of its damping, so modes without damping cannot be "
            f"held; give {scheme.id} a smallest damping above 0"
        )


def _outputs(config: ModelConfig, variance: float, seed: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """C (H, M), or (2, H, M) for both directions, of this variance; and D (H,)."""
    # poles and step sizes come from the first two streams of the same seed
    rng = np.random.default_rng(np.random.SeedSequence(seed).spawn(3)[2])
    shape = (2,) * config.bidirectional + (config.d_model, config.modes)
    real, imag = rng.normal(0.0, math.sqrt(variance / 2.0), (2, *shape))
    return torch.from_numpy(real + 1j * imag), torch.from_numpy(rng.normal(size=config.d_model))
