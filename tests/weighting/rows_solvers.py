"""Methods whose weights solve a problem on the Gramian."""

ROWS = []
