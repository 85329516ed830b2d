"""Items of checkpoints, checked against what was saved, from the newest that is whole."""

import sys
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
import orbax.checkpoint as ocp
import tensorstore
from jaxtyping import PyTree

from maskformer_jax.errors import InputError
from maskformer_jax.training.manifest import DIFFERS, DamagedError, unseal

Tree = TypeVar("Tree")
MOST_OF_A_REASON = 200
# Orbax asks for it with every save and never shows it; what it returns is never freed (0.1.86).
tensorstore.experimental_collect_matching_metrics = lambda *_: []


class NoneGoodError(InputError):
    """There is no checkpoint, or all are damaged."""


def manager_of(run: Path, name: str, keep: int | None) -> ocp.CheckpointManager:
    """Of the checkpoints of that name in a run folder; it only reads unless some are to be kept."""
    folder = (run / "checkpoints" / name).absolute()
    options = ocp.CheckpointManagerOptions(
        max_to_keep=keep, create=keep is not None, read_only=keep is None
    )
    return ocp.CheckpointManager(folder, options=options)


def flatten(tree: PyTree) -> dict[str, jax.Array]:
    """Arrays by their path, such as `encoder.0.attention.key.kernel`."""
    paths, _ = jax.tree.flatten_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in paths}


def describe(arrays: Mapping[str, jax.Array]) -> dict[str, list]:
    """Shape, type and checksum of every array."""
    return {
        name: [list(x.shape), str(x.dtype), zlib.crc32(np.ascontiguousarray(x).tobytes())]
        for name, x in arrays.items()
    }


def summary_of(manager: ocp.CheckpointManager, step: int) -> Mapping[str, Any]:
    """The summary of a checkpoint, found to be whole."""
    restored = manager.restore(step, args=ocp.args.Composite(summary=ocp.args.JsonRestore()))
    return unseal(restored["summary"])


def restore_item(
    manager: ocp.CheckpointManager, step: int, item: str, like: Tree, summary: Mapping[str, Any]
) -> Tree:
    """One item in the structure of `like`, checked against what was saved."""
    wanted = flatten(like)
    saved = summary[item]
    for name in sorted({*wanted, *saved}):
        have = tuple(saved[name][0]) if name in saved else "nothing"
        want = wanted[name].shape if name in wanted else "nothing"
        if have != want:
            raise InputError(
                f"the checkpoint in {manager.directory} is of another model: `{name}` has shape "
                f"{have} in the checkpoint and {want} in the configuration"
            )
    abstract = {
        name: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding)
        for name, x in wanted.items()
    }
    restored = manager.restore(
        step, args=ocp.args.Composite(**{item: ocp.args.StandardRestore(abstract)})
    )[item]
    if describe(restored) != {name: list(value) for name, value in saved.items()}:
        raise DamagedError(DIFFERS)
    return jax.tree.unflatten(jax.tree.structure(like), [restored[name] for name in wanted])


def newest_good(
    sources: list[tuple[ocp.CheckpointManager, Callable[[int], Tree]]], run: Path
) -> Tree:
    """What the first undamaged checkpoint holds, from the latest step backwards in each source."""
    damaged = []
    for manager, read in sources:
        for step in sorted(manager.all_steps(), reverse=True):
            try:
                result = read(step)
            except InputError:
                raise
            except Exception as error:  # orbax, tensorstore, JSON, file system: anything goes
                folder = manager.directory / str(step)
                reason = " ".join(str(error).split())[:MOST_OF_A_REASON] or type(error).__name__
                damaged.append(str(folder))
                print(f"warning: {folder} is damaged, skipped: {reason}", file=sys.stderr)
                continue
            if damaged:
                good = manager.directory / str(step)
                print(f"warning: using {good} instead", file=sys.stderr)
            return result
    if damaged:
        raise NoneGoodError(f"every checkpoint of {run} is damaged: {', '.join(damaged)}")
    raise NoneGoodError(f"{run} has no checkpoint yet")
