"""Charts: a matplotlib figure as inline SVG, with the table of the numbers that it shows."""
