"""The network: `maskformer.build` gives a pure function and its parameters."""
