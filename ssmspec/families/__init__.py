"""Families: one parameterization a file. The table below is in order of detection."""

from __future__ import annotations

from ssmspec.families import (
    attenuate,
    dfout,
    dss,
    gated_deltanet,
    lru,
    mamba,
    mamba2,
    rg_lru,
    rwkv,
    s4d,
    s4d_v3,
    s4d_v4,
    s5,
    selective_diagonal,
    stripedhyena,
    vmamba,
)
from ssmspec.families.base import Family
from ssmspec.families.s4_dplr import family as s4_dplr
from ssmspec.registry import Registry

FAMILIES: Registry[Family] = Registry(
    "family",
    "ssmspec.families",
    (
        s4_dplr.FAMILY,
        s4d_v3.FAMILY,
        s4d_v4.FAMILY,
        s4d.FAMILY,
        s5.FAMILY,
        lru.FAMILY,
        dfout.FAMILY,
        dss.FAMILY,
        attenuate.FAMILY,
        stripedhyena.FAMILY,
        mamba.FAMILY,
        vmamba.FAMILY,
        selective_diagonal.FAMILY,
        mamba2.FAMILY,
        gated_deltanet.FAMILY,
        rg_lru.FAMILY,
        rwkv.FAMILY,
    ),
    key=lambda family: family.id,
)
