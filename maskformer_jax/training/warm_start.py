"""Training that begins with the parameters of another run, or leaves some as they are."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import optax
from jaxtyping import PyTree

from maskformer_jax import config as configuration
from maskformer_jax.build import build
from maskformer_jax.data import Scaling
from maskformer_jax.errors import InputError, nearest
from maskformer_jax.training import manifest
from maskformer_jax.training.checkpoint import restore_params
from maskformer_jax.training.restoring import flatten
from maskformer_jax.training.run_folder import CONFIG_FILE


class WarmStart(NamedTuple):
    """Parameters to begin with.

    Attributes:
        params: those of the other run where names and shapes fit, and otherwise what was drawn.
        account: what was taken and what not, a line for each.
    """

    params: PyTree
    account: list[str]


def warm_start(run: Path, params: PyTree) -> WarmStart:
    """The parameters of the best checkpoint of a run, where names and shapes fit.

    Args:
        run: the other run.
        params: initial parameters.

    Raises:
        InputError: `run` is no whole run folder, or nothing fits.
    """
    if not (run / CONFIG_FILE).is_file():
        raise InputError(f"`--init_from` must name a run folder; {run} has no {CONFIG_FILE}")
    manifest.read(run)
    there = flatten(restore_params(run, build(configuration.load_saved(run / CONFIG_FILE)).params))
    here, taken, account = flatten(params), {}, []
    for name, x in here.items():
        if name not in there:
            account.append(f"not in {run}: {name}")
        elif there[name].shape != x.shape:
            account.append(f"of another shape, {there[name].shape} in {run}: {name}")
        else:
            taken[name] = there[name]
    if not taken:
        raise InputError(f"`--init_from`: no parameter of {run} fits in name and shape")
    account += [f"in {run} alone: {name}" for name in there if name not in here]
    number = sum(x.size for x in taken.values())
    account.insert(0, f"{number:,} parameters in {len(taken)} arrays are those of {run}")
    leaves = [taken.get(name, x) for name, x in here.items()]
    return WarmStart(jax.tree.unflatten(jax.tree.structure(params), leaves), account)


def same_scaling(scaling: Scaling, other: Scaling) -> tuple[Scaling, list[str]]:
    """A scaling with those parts of another that are of the same fields; names of the parts."""
    theirs, kept = dict(other.parts()), []

    def choose(name: str, part: Any) -> Any:
        there = theirs.get(name)
        ours = (part.fields, part.transforms, part.denominators)
        if there is None or (there.fields, there.transforms, there.denominators) != ours:
            return part
        kept.append(name)
        return part._replace(mean=there.mean, std=there.std)

    found = Scaling(
        choose("jets", scaling.jets),
        {name: choose(f"streams.{name}", x) for name, x in scaling.streams.items()},
        {name: choose(f"targets.{name}", x) for name, x in scaling.targets.items()},
    )
    return found, kept


def frozen(
    update: optax.GradientTransformation, params: PyTree, prefixes: Sequence[str]
) -> optax.GradientTransformation:
    """An optimiser that leaves parameters as they are.

    Args:
        update: the optimiser.
        params: of the network.
        prefixes: of the dotted paths of those parameters: `encoder`, `embedding.tracks`.

    Raises:
        InputError: no path begins like that.
    """
    if not prefixes:
        return update
    paths, stays = list(flatten(params)), set()
    for prefix in prefixes:
        inside = {path for path in paths if f"{path}.".startswith(f"{prefix}.")}
        if not inside:
            parts = {".".join(p.split(".")[:n]): None for p in paths for n in range(1, 5)}
            hint = nearest(prefix, parts)
            raise InputError(f"`training.freeze`: no parameter begins with {prefix!r}{hint}")
        stays |= inside
    mask = jax.tree.unflatten(jax.tree.structure(params), [path in stays for path in paths])
    return optax.chain(update, optax.masked(optax.set_to_zero(), mask))
