"""A configuration with three streams and all kinds of tasks, for the files of `streams_file`."""

import h5py
from streams_file import make_streams

from maskformer_jax import config as configuration
from maskformer_jax.data import JetFile, Layout, assemble, convert, fit_scaling

CONFIG = """
data:
  jets: {inputs: [pt], transforms: {pt: {name: log, scale: 1.0}}}
  streams:
    tracks: {dataset: tracks, inputs: [x, y], cap: 4}
    electrons: {dataset: electrons, inputs: [x], cap: 2}
    flow: {dataset: flow, inputs: [y], cap: 4}
  objects:
    hadrons: {dataset: hadrons, of: tracks, key: key, link: link, cap: 3}
  labels:
    flavour: {of: jets, field: kind, classes: {b: 0, light: [1, 2]}}
    jet_weight: {of: jets, field: weight}
    origin: {of: tracks, field: kind, classes: {pileup: 0, fake: 1, fromB: 2, primary: 3}}
    vertex: {of: tracks, field: vertex}
    electron_kind: {of: electrons, field: kind, classes: {two: 2, others: [0, 3]}}
    hadron_class: {of: hadrons, field: kind, classes: {b: 5, c: 4}}
model:
  embed_dim: 8
  num_heads: 2
  head_widths: [8]
  jet_inputs: both
  embedding: {widths: [6], positions: {tracks: [x], flow: [y]}}
  encoder:
    layers: 2
    registers: 2
    pairs: {tracks: [x, "y"], flow: ["y"]}
    gated: true
    norm: {name: rms_norm}
    norm_position: post
tasks:
  jet_class:
    {kind: classification, label: flavour, pool_queries: hadrons, sample_weight: jet_weight}
  track_origin:
    {kind: classification, label: origin, class_weights: {fake: 3.0}, sample_weight: jet_weight}
  electron_class: {kind: classification, label: electron_kind}
  mass: {kind: regression, of: jets, targets: {mass: {name: log}}, nan: ignore, loss: gaussian}
  slope: {kind: regression, of: flow, targets: {x: {}, "y": {}}, loss: huber}
  vertexing:
    kind: edges
    label: vertex
    pair_weights: salt
    heavy: [fromB]
    sample_weight: jet_weight
  hadrons:
    kind: objects
    objects: hadrons
    decoder_layers: 1
    auxiliary: true
    sample_weight: jet_weight
    losses:
      object_class: {label: hadron_class}
      mask_ce: {}
      mask_dice: {}
      regression: {targets: {size: {name: log1p}}, means: {size: "y"}}
"""


JETS_ALONE = """
data:
  jets: {inputs: [pt, energy]}
  labels: {flavour: {of: jets, field: kind, classes: {b: 0, light: [1, 2]}}}
model: {embed_dim: 4, num_heads: 1, head_widths: [4], jet_inputs: both}
tasks: {jet_class: {kind: classification, label: flavour}}
"""


def load(folder, *overrides, text=CONFIG):
    """The configuration with overrides, read from a file in the folder."""
    path = folder / "made_up.yaml"
    path.write_text(text)
    return configuration.load([f"--config={path}", *overrides])


def write(folder, jets=40):
    """Writes a file of jets, and returns its path."""
    path = folder / "jets.h5"
    with h5py.File(path, "w") as file:
        for name, table in make_streams(jets).items():
            file.create_dataset(name, data=table)
    return path


def batches(path, schema, seats, layouts):
    """The jets at these seats `[N, J]` of the file, once for each layout."""
    file = JetFile(path, schema)
    samples = convert([file.read(0, file.num_jets)], schema, fit_scaling(file))
    file.close()
    return [
        assemble(samples, at, Layout(1, *at.shape, *layout))
        for at, layout in zip(seats, layouts, strict=True)
    ]
