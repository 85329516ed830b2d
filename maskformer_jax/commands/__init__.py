"""The command lines of `maskformer`: each parses, calls the package, and prints what came of it."""
