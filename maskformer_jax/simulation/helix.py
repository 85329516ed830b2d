"""The helix of a charged particle and its point of closest approach to the beam line."""

from typing import NamedTuple

import numpy as np

from maskformer_jax.simulation.events import wrapped

# Speed of light, which turns T mm into GeV.
GEV_PER_TESLA_MM = 0.299792458e-3


class Perigee(NamedTuple):
    """Track parameters at the point of closest approach to the z axis, all `[n]`.

    Attributes:
        d0: signed transverse impact parameter; the point is d0 (-sin phi, cos phi) [mm].
        z0: z of that point [mm].
        phi: direction there [rad].
        eta: pseudorapidity.
        q_over_pt: charge over transverse momentum [1/GeV].
    """

    d0: np.ndarray
    z0: np.ndarray
    phi: np.ndarray
    eta: np.ndarray
    q_over_pt: np.ndarray


def perigee(
    position: np.ndarray, pt: np.ndarray, eta: np.ndarray, phi: np.ndarray,
    charge: np.ndarray, field: float,
) -> Perigee:  # fmt: skip
    """Perigee of the exact helix, without material.

    With rho = q pT/K, K = 0.2998e-3 B, the centre of the circle is
    (x, y) + rho (sin phi, -cos phi); d0 = rho - sgn(rho) |centre| and
    z0 = z - rho dphi sinh(eta), where dphi is the turn from the start to the perigee.

    Args:
        position: `[n, 3]` a point on the helix [mm].
        pt: `[n]` transverse momentum [GeV].
        eta: `[n]` pseudorapidity.
        phi: `[n]` direction at `position` [rad].
        charge: `[n]` +1 or -1.
        field: along z [T].
    """
    rho = charge * pt / (GEV_PER_TESLA_MM * field)
    x = position[:, 0] + rho * np.sin(phi)
    y = position[:, 1] - rho * np.cos(phi)
    sign = np.sign(rho)
    phi0 = np.arctan2(sign * x, -sign * y)
    z0 = position[:, 2] - rho * wrapped(phi0 - phi) * np.sinh(eta)
    # Without the difference of two large radii, which would cost the last digits of stiff tracks.
    x0, y0, sin, cos = position[:, 0], position[:, 1], np.sin(phi), np.cos(phi)
    distance = x0**2 + y0**2 + 2 * rho * (x0 * sin - y0 * cos)
    d0 = -sign * distance / (np.hypot(x, y) + np.abs(rho))
    return Perigee(d0, z0, phi0, eta, charge / pt)


def lifetime_signed(
    d0: np.ndarray, z0: np.ndarray, dphi: np.ndarray, deta: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """|d0| and |z0| with the signs of a lifetime.

    Positive where the point of closest approach lies before the primary vertex as seen along the
    jet: sgn(sin(phi_jet - phi) d0) and sgn((eta_jet - eta) z0).

    Args:
        d0: `[n]` [mm].
        z0: `[n]` longitudinal impact parameter, or that times sin(theta) [mm].
        dphi: `[n]` track minus jet [rad].
        deta: `[n]` track minus jet.
    """
    return (
        np.abs(d0) * np.sign(np.sin(-dphi) * d0),
        np.abs(z0) * np.sign(-deta * z0),
    )
