"""Our side of `benchmarks/salt_process.py`, which trains Salt and reads with its dataset."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.peer_process import peer
from maskformer_jax.config import DataConfig
from maskformer_jax.errors import InputError

Ask = Callable[..., Any]


@contextmanager
def salt(python: str | None, cores: int) -> Iterator[Ask]:
    """`ask(request, value, **more)`; requests are those of `salt_process.serve`.

    Args:
        python: interpreter that has Salt; none: this one.
        cores: how many the two processes share.

    Raises:
        InputError: it has no Salt, or Salt can't do what it is asked for.
    """
    with peer(python, "salt_process", needs="salt, torchjd", cores=cores) as ask:

        def checked(request: str, value: object, **more: object) -> Any:
            found = ask(request, value, **more)
            if isinstance(found, dict) and "failed" in found:
                raise InputError(f"`--peers`: {request} {value}: {found['failed']}")
            return found

        checked("threads", cores)
        yield checked


def settings(
    data: DataConfig, file: str | Path, batch_size: int, num_jets: int | None, embed_dim: int
) -> dict[str, Any]:
    """What Salt is told, so that it reads and trains what we do.

    Args:
        data: layout of the file, with Salt's names of datasets.
        file: HDF5 file.
        batch_size: jets of a batch.
        num_jets: use the first jets only; none: all.
        embed_dim: width of the network.
    """
    return {
        "file": str(Path(file).resolve()),
        "num_jets": num_jets or -1,
        "batch_size": batch_size,
        "embed_dim": embed_dim,
        "jets": data.jets.inputs,
        "tracks": data.tracks.inputs,
        "jet_classes": list(data.jets.classes),
    }
