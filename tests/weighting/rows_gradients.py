"""Methods that need the task gradients themselves."""

ROWS = []
