"""What a layer's kernels become: C kept, fitted to the old kernels, or drawn anew."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ssmspec.analysis.target import Target, Wish
from ssmspec.arrays import Array
from ssmspec.errors import LayoutError, SchemeError, UsageError
from ssmspec.families.base import LayerSource
from ssmspec.families.find import FoundLayer
from ssmspec.kernel import Kernel
from ssmspec.naming import printable
from ssmspec.reinitialization.fitting import fit, match, search_decay
from ssmspec.results.reinit import CPolicy, KernelChange, XiSearch
from ssmspec.spectrum import LayerSpectrum

XI_STEPS = 33
"""How many dampings a search tries, in equal steps of log xi (heuristic): over the default range
from 0.001 to 0.1 they are 15 % apart, where a finer grid gains less than 1 % of energy."""

DAMPING = ("xi_min", "xi_max")

_DRAWS_C = 1
"""Sets the stream that C is drawn from apart from those of poles and step sizes."""


def check_search(wish: Wish, c: CPolicy) -> None:
    """Refuse a search for xi that has nothing to search by or for.

    Raises:
        UsageError: C is not fitted, or the scheme has no xi of each channel.
    """
    if c is not CPolicy.FIT:
        raise UsageError(
            "a search for xi compares kernels with the old ones: it needs C to be fitted (--c fit)"
        )
    if not set(DAMPING) <= set(wish.scheme.options):
        raise UsageError(
            f"{wish.scheme.id} has no damping xi to search; the dfout schemes have one per channel"
        )
    if wish.options.resolve(wish.scheme.id, wish.scheme.options).xi_min <= 0.0:
        raise UsageError("a search for xi needs a range above 0 (--xi-min, --xi-max)")


def kernel_of(
    layer: FoundLayer, source: LayerSource, spectrum: LayerSpectrum
) -> tuple[Kernel | None, str]:
    """The kernel that the stored B and C make with some poles; or None, and why."""
    if layer.family.read_kernel is None:
        return None, f"no kernel is known of {layer.family.title}: its B and C are not parameters"
    try:
        kernel = layer.family.read_kernel(source, spectrum)
    except LayoutError as error:
        return None, str(error)
    if kernel.spectrum.non_finite or kernel.non_finite:
        return None, "the kernel is NaN or infinite"
    return kernel, ""


def searched(
    wanted: Target, layer: FoundLayer, source: LayerSource, old: Kernel, wish: Wish, length: int
) -> tuple[Target, XiSearch]:
    """The target with the damping of each channel that lets a fitted C keep most energy."""
    knobs = wish.options.resolve(wish.scheme.id, wish.scheme.options)
    low, high = knobs.xi_min, knobs.xi_max
    choices = low * (high / low) ** np.linspace(0.0, 1.0, XI_STEPS)
    start, reason = kernel_of(layer, source, wanted.spectrum)
    if start is None:
        raise SchemeError(f"{printable(source.name)}: xi cannot be searched: {reason}")
    xi = 2.0 * search_decay(old, start, choices / 2.0, length)
    poles = -xi[:, None] / 2.0 + 1j * wanted.spectrum.omega_unwrapped
    return replace(wanted, spectrum=replace(wanted.spectrum, log_poles=poles)), XiSearch(
        lowest=float(xi.min()),
        median=float(np.quantile(xi, 0.5)),
        highest=float(xi.max()),
        at_end=float(np.isin(xi, choices[[0, -1]]).mean()),
    )


def changed_outputs(
    layer: FoundLayer,
    source: LayerSource,
    spectrum: LayerSpectrum,
    old: Kernel | None,
    c: CPolicy,
    length: int | None,
    seed: tuple[int, int],
) -> dict[str, Array]:
    """The tensors of C that a policy asks for, in the stored shape; none where it is kept.

    Args:
        layer: the layer.
        source: where its new poles stand already.
        spectrum: those poles.
        old: the kernel it had; needed to fit.
        c: the policy.
        length: lags that a fit goes over; likewise.
        seed: what a reset draws from, the layer's number included.

    Raises:
        SchemeError: the family has no C that can be fitted or drawn.
    """
    family, name = layer.family, printable(source.name)
    if c is CPolicy.KEEP:
        return {}
    if c is CPolicy.RESET:
        if family.reset_kernel is None:
            raise SchemeError(
                f"{name}: {family.title} has no C that could be drawn anew; use --c keep"
            )
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence((*seed, _DRAWS_C))))
        return dict(family.reset_kernel(source, spectrum, rng))
    start, reason = kernel_of(layer, source, spectrum)
    if start is None or old is None or length is None or family.write_kernel is None:
        because = reason or f"{family.title} has no C that could be written"
        raise SchemeError(f"{name}: C cannot be fitted: {because}; use --c keep")
    return dict(family.write_kernel(source, fit(old, start, length)))


def kernel_change(
    old: Kernel | None, new: Kernel | None, length: int | None
) -> tuple[KernelChange | None, str]:
    """How a kernel changed; or None, and why that is not known."""
    if old is None or new is None:
        return None, "there is no kernel to compare"
    found = match(old, new, length)
    if found is None:
        return None, (
            "a kernel is silent or never ends; --seq-len gives the lags that count"
            if length is None
            else "a kernel is silent or grows beyond what a float holds"
        )
    return KernelChange(found.kept, found.correlation), ""
