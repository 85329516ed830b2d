"""A study: trainings that differ in a few options, evaluated on the same files and compared."""
