"""Feature maps to scale: `volumes` says what is drawn, `scale` how large, `grid` where, `drawn` makes the drawing."""
