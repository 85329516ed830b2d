"""Our side of `benchmarks/salt_process.py`, which trains Salt and reads with its dataset."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.peer_process import peer
from maskformer_jax.config import Config
from maskformer_jax.errors import InputError

Ask = Callable[..., Any]
VARIANTS = ("Salt", "Salt, flash attention", "Salt, TorchJD CAGrad")
# Kind of a task -> the network of Salt that has it.
NETWORKS = {"objects": "MaskFormer", "edges": "GN2"}


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


def settings(config: Config) -> dict[str, Any]:
    """What Salt is told, so that it reads and trains what we do.

    Args:
        config: of a MaskFormer or GN2, with its training file and Salt's names of datasets.

    Raises:
        InputError: the model is another one.
    """
    data, kinds = config.data, [options.kind for options in config.tasks.values()]
    networks = [network for kind, network in NETWORKS.items() if kind in kinds]
    if len(networks) != 1 or list(data.streams) != ["tracks"]:
        raise InputError(
            f"`--peers`: Salt's part is a MaskFormer or GN2 on tracks; got {config.name}"
        )
    jets = [x for x in data.labels.values() if x.of == "jets" and x.classes]
    return {
        "network": networks[0],
        "file": str(Path(data.train_file).resolve()),
        "num_jets": data.train_jets or -1,
        "batch_size": config.training.batch_size,
        "embed_dim": config.model.embed_dim,
        "jets": data.jets.inputs,
        "tracks": data.streams["tracks"].inputs,
        "jet_classes": list(jets[0].classes),
    }
