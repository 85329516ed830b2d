"""The network: `network.build` gives a pure function and its parameters."""
