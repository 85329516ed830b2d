"""Variants of GN2 that the campaign builds with Salt, to compare ours with all of them."""

import itertools

# Options of the encoder, each with those of its feed-forward layers and of its registers.
NORMS = [
    {"norm": x, "norm_type": y} for x in ("LayerNorm", "RMSNorm") for y in ("pre", "post", "hybrid")
]
DENSE = [
    {"activation": x, "gated": y} for x, y in (("ReLU", False), ("SiLU", True), ("Mish", False))
]
REGISTERS = [
    {"num_registers": x, "drop_registers": y} for x, y in ((1, False), (3, False), (2, True))
]
VARIANTS = {
    "-".join(map(str, (*norm.values(), *dense.values(), *registers.values()))): {
        **norm,
        **registers,
        "dense_kwargs": dense,
    }
    for norm, dense, registers in itertools.product(NORMS, DENSE, REGISTERS)
}
