"""Tables of measurements: cells, formats, and the tables of the thesis."""
