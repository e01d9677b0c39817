"""Mapped: layers whose layout a `--map` page describes (see `layouts.py` and `docs/mapping.md`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from ssmspec.arrays import Array, Complexes, Floats
from ssmspec.errors import LayoutError, SchemeError, UsageError
from ssmspec.families.base import Family, Found, LayerSite, LayerSource, choose_discretization
from ssmspec.families.catalog import Catalog, Module
from ssmspec.families.mapped.page import CHANNELS, MODES, SINGLE, Layout, Term
from ssmspec.families.parts.diagonal import (
    TIED_TOLERANCE,
    require_writable,
    to_complex,
    to_log_poles,
    to_poles,
)
from ssmspec.families.parts.gates import nominal_assumption
from ssmspec.naming import matches, printable
from ssmspec.outcome import Skipped
from ssmspec.reading import Discretization
from ssmspec.spectrum import LayerSpectrum, Symmetry
from ssmspec.units import TWO_PI

ID = "mapped"

LOWEST_ANGLE = 1e-6
"""Written for a frequency of 0 where a tensor stores its logarithm: rad/sample, or rad per unit of
time for a continuous pole, whose step size is below 1 in all but odd cases."""


def family_for(layouts: Sequence[Layout]) -> Family:
    """A family that finds, reads and writes the layers these layouts describe."""

    def layout_of(source: LayerSource) -> Layout:
        return layouts[int(source.site.variant)]

    return Family(
        id=ID,
        title="Mapped layer",
        summary="any layer that a --map page describes",
        formula="value = scale * transform(stored) + offset, for poles and for dt",
        source="docs/mapping.md",
        find=lambda catalog: find(catalog, layouts),
        read=lambda source: read(source, layout_of(source)),
        write=lambda source, spectrum: write(source, layout_of(source), spectrum),
        discretizations=tuple(dict.fromkeys(layout.discretization for layout in layouts)),
        is_complex=any(layout.symmetry is not Symmetry.REAL for layout in layouts),
    )


def find(catalog: Catalog, layouts: Sequence[Layout]) -> Iterator[Found]:
    """Modules that fit a layout's glob and hold all of its tensors.

    A module that holds some of the pole tensors but not all is listed as skipped.

    Raises:
        UsageError: the page fits nothing in this checkpoint, or fits one module twice.
    """
    claimed: dict[str, Found] = {}
    for number, layout in enumerate(layouts):
        for module in catalog:
            fits = matches(module.path, layout.modules) or matches(module.name, layout.modules)
            found = _fit(module, layout, str(number)) if fits else None
            if isinstance(found, Skipped):
                claimed.setdefault(found.name, found)
            elif found is not None:
                if isinstance(claimed.get(found.name), LayerSite):
                    raise UsageError(
                        f"the map {printable(layout.page)} describes {printable(found.name)} "
                        f"twice; give the second of the two layers a label"
                    )
                claimed[found.name] = found
    if not claimed:
        raise UsageError(_nothing_fits(catalog, layouts[0]))
    yield from claimed.values()


def _fit(module: Module, layout: Layout, variant: str) -> Found | None:
    name = f"{module.name} ({layout.label})" if layout.label else module.name
    tensors = {relative: module.tensor(relative) for relative in layout.tensors}
    held = {relative: tensor for relative, tensor in tensors.items() if tensor is not None}
    if len(held) == len(tensors):
        return LayerSite(name, held, variant)
    if any(term.tensor in held for term in layout.poles.values()):
        missing = next(relative for relative in tensors if relative not in held)
        return Skipped(
            name, f"the map {layout.page} names {missing!r}, which is not a tensor of this module"
        )
    return None


def _nothing_fits(catalog: Catalog, layout: Layout) -> str:
    problem = (
        f"the map {printable(layout.page)} fits no module: none that matches "
        f"{printable(layout.modules)!r} holds {printable(', '.join(layout.tensors))}"
    )
    modules = list(catalog)
    example = next((each for each in modules if matches(each.path, layout.modules)), None)
    example = example or next(iter(modules), None)
    if example is None:
        return problem
    leaves = ", ".join(list(example.leaves)[:6])
    return f"{problem}; for example, module {printable(example.name)!r} holds {printable(leaves)}"


def read(source: LayerSource, layout: Layout) -> LayerSpectrum:
    """Log-poles from the layout's terms.

    Raises:
        LayoutError: the tensors do not fit the page.
        UsageError: a reading option asks for something else than the page says.
    """
    if source.reading.dt_transform is not None:
        raise UsageError(
            f"{printable(source.name)} is read as {printable(layout.page)} says, where "
            f"--dt-transform does not apply; change the page"
        )
    choose_discretization(source, (layout.discretization,), "")
    with np.errstate(all="ignore"):
        terms = {role: _values(source, role, term) for role, term in layout.terms.items()}
        _require_fit(source, layout, terms)
        dt = terms.get("dt")
        if dt is not None and (dt <= 0.0).any():
            raise LayoutError(
                f"the map {layout.page} gives a step size of {float(np.nanmin(dt)):g}; "
                f"check the transform of dt"
            )
        log_poles = _log_poles(layout, terms, dt)
    assumptions: tuple[str, ...] = (f"poles and step sizes are read as {layout.page} describes",)
    if layout.selective:
        assumptions += (nominal_assumption("these layers"),)
    return LayerSpectrum(
        name=source.name,
        family=ID,
        discretization=layout.discretization,
        symmetry=layout.symmetry,
        log_poles=log_poles,
        dt=dt,
        selective=layout.selective,
        assumptions=assumptions,
    )


def _log_poles(layout: Layout, terms: Mapping[str, Array], dt: Floats | None) -> Complexes:
    if "radius" in terms or "decay" in terms:
        negative = terms.get("radius")
        if negative is not None and (negative < 0.0).any():
            raise LayoutError(f"the map {layout.page} gives a negative radius; check its transform")
        log_radius = np.log(terms["radius"]) if "radius" in terms else -terms["decay"]
        return to_complex(log_radius, _wrap(terms["angle"]) if "angle" in terms else np.zeros(1))
    imag = terms.get("imag", np.zeros(1))
    poles = terms["complex"] if "complex" in terms else to_complex(terms["real"], imag)
    if dt is None:
        return np.log(np.asarray(poles, dtype=np.complex128))
    return to_log_poles(poles, dt, layout.discretization)


def _wrap(angle: Floats) -> Floats:
    """arg(exp(i angle)), in (-pi, pi]; angles already inside keep every digit."""
    turns = np.ceil((angle - np.pi) / TWO_PI)
    return np.where(turns == 0.0, angle, angle - TWO_PI * turns)


def _values(source: LayerSource, role: str, term: Term) -> Array:
    """A term as (H or 1, M or 1)."""
    if term.tensor is None:
        return np.full((1, 1), term.constant)
    stored = source.read(term.tensor)
    if np.iscomplexobj(stored) != (role == "complex"):
        raise LayoutError(
            f"{_tensor(source, term)} is {source.dtype(term.tensor)}; poles.complex reads complex "
            f"tensors, and every other term real ones"
        )
    # exp(-inf) = 0 would be a plausible pole: what is not finite is NaN from here on
    plain = _component(source, term, np.where(np.isfinite(stored), stored, np.nan))
    return term.scale * term.transform.forward(_arrange(source, term, plain)) + term.offset


def _component(source: LayerSource, term: Term, stored: Array) -> Array:
    if term.component is None:
        return stored
    if stored.ndim == 0 or stored.shape[-1] != 2:
        raise LayoutError(
            f"{_tensor(source, term)} has shape {stored.shape}; a component is taken from a last "
            f"axis of length 2"
        )
    part: Array = stored[..., term.component]
    return part


def _arrange(source: LayerSource, term: Term, values: Array) -> Array:
    """Axes as the term names them -> (channels or 1, modes or 1)."""
    if values.ndim != len(term.axes) or any(
        axis == SINGLE and size != 1 for axis, size in zip(term.axes, values.shape, strict=True)
    ):
        raise LayoutError(
            f"{_tensor(source, term)} has shape {values.shape}, which does not "
            f"fit the axes {', '.join(term.axes) or 'of a scalar'!r}"
        )
    sizes = dict(zip(term.axes, values.shape, strict=True))
    swapped = MODES in term.axes and CHANNELS in term.axes[term.axes.index(MODES) :]
    if swapped:
        return values.reshape(sizes[MODES], sizes[CHANNELS]).T
    return values.reshape(sizes.get(CHANNELS, 1), sizes.get(MODES, 1))


def _require_fit(source: LayerSource, layout: Layout, terms: Mapping[str, Array]) -> None:
    try:
        np.broadcast_shapes(*(values.shape for values in terms.values()))
    except ValueError:
        shapes = ", ".join(f"{role} {values.shape}" for role, values in terms.items())
        raise LayoutError(
            f"the tensors of {printable(source.name)} do not fit together as (channels, modes): "
            f"{shapes}; check the axes in {layout.page}"
        ) from None


def write(source: LayerSource, layout: Layout, spectrum: LayerSpectrum) -> Mapping[str, Array]:
    """The inverse of `read`, term by term, in the stored shapes.

    The step size is among them only where it changes.
    """
    current = read(source, layout)
    require_writable(source.name, spectrum, current.shape, layout.symmetry)
    targets = _targets(source, layout, spectrum)
    if current.dt is not None and spectrum.dt is not None:
        new, old = (np.broadcast_to(dt, current.shape) for dt in (spectrum.dt, current.dt))
        if not np.array_equal(new, old):
            targets["dt"] = new
    written: dict[str, Array] = {}
    for role, target in targets.items():
        _store(source, layout, role, np.broadcast_to(target, current.shape), written)
    return written


def _targets(source: LayerSource, layout: Layout, spectrum: LayerSpectrum) -> dict[str, Array]:
    """What each pole term has to be, (H, M)."""
    log_poles = spectrum.log_poles
    if layout.discretization is Discretization.NATIVE:
        poles = np.exp(log_poles)
    elif spectrum.dt is None:
        raise SchemeError(
            f"{printable(source.name)}: the layer stores continuous poles and needs step sizes"
        )
    else:
        poles = to_poles(source.name, log_poles, spectrum.dt, layout.discretization)
    if layout.symmetry is Symmetry.REAL:
        on_axis = np.abs(poles.imag) <= TIED_TOLERANCE * np.abs(poles)
        if not on_axis.all() or ("real" not in layout.poles and (poles.real < 0.0).any()):
            raise SchemeError(
                f"{printable(source.name)}: the layer stores real poles as "
                f"{' and '.join(layout.poles)} and cannot hold a negative discrete pole; "
                f"s4d-real is a scheme it can hold"
            )
    values: dict[str, Array] = {
        "complex": poles,
        "real": poles.real,
        "imag": poles.imag,
        "radius": np.exp(log_poles.real),
        "decay": -log_poles.real,
        "angle": _wrap(log_poles.imag),
    }
    return {role: values[role] for role in layout.poles}


def _store(
    source: LayerSource,
    layout: Layout,
    role: str,
    target: Array,
    written: dict[str, Array],
) -> None:
    """Put one term's values (H, M) into its tensor, which another component may have written to."""
    term = layout.terms[role]
    name = printable(source.name)
    if term.tensor is None:
        if not np.allclose(target, term.constant, rtol=TIED_TOLERANCE, atol=0.0):
            raise SchemeError(
                f"{name}: {layout.page} gives {role} as the constant {term.constant:g}, which the "
                f"new poles would have to change"
            )
        return
    target = _untie(source, term, target)
    stored = _stored(layout, role, term, target)
    if not np.isfinite(stored).all():
        raise SchemeError(
            f"{name}: {_tensor(source, term)} is read through {term.transform.id} and cannot hold "
            f"the {role} of every new pole (such as a damping of 0)"
        )
    tensor = source.site.tensors[term.tensor]
    shape = source.shape(term.tensor)
    swapped = [axis for axis in term.axes if axis != SINGLE] == [MODES, CHANNELS]
    stored = stored.T if swapped else stored
    if term.component is None:
        written[tensor] = stored.reshape(shape)
        return
    whole = written.get(tensor)
    whole = source.read(term.tensor).copy() if whole is None else whole
    whole[..., term.component] = stored.reshape(shape[:-1])
    written[tensor] = whole


def _untie(source: LayerSource, term: Term, target: Array) -> Array:
    """Drop the axes that a tensor does not run over; their values have to agree."""
    for axis, role in enumerate((CHANNELS, MODES)):
        if role in term.axes:
            continue
        first = target.take([0], axis)
        if not np.allclose(target, first, rtol=TIED_TOLERANCE, atol=0.0):
            raise SchemeError(
                f"{printable(source.name)}: {_tensor(source, term)} is shared by all {role}, and "
                f"the new poles differ between {role}; use a scheme without that difference"
            )
        target = first
    return target


def _stored(layout: Layout, role: str, term: Term, target: Array) -> Array:
    """The numbers that the term's transform turns into these values; NaN or inf where none is.

    Where a frequency is stored as a logarithm, 0 becomes `LOWEST_ANGLE`, and where poles of both
    signs are stored, a negative angle becomes the same angle a full turn up.
    """
    if role == "complex":
        return target

    def invert(values: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(term.transform.inverse((values - term.offset) / term.scale))

    stored = invert(target)
    if role in ("angle", "imag") and not np.isfinite(stored).all():
        raised = np.where(target == 0.0, np.copysign(LOWEST_ANGLE, term.scale), target)
        stored = np.where(np.isfinite(stored), stored, invert(raised))
    if role == "angle" and layout.symmetry is Symmetry.FULL:
        stored = np.where(np.isfinite(stored), stored, invert(target + TWO_PI))
    return stored


def _tensor(source: LayerSource, term: Term) -> str:
    return printable(source.site.tensors[str(term.tensor)])
