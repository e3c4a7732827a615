"""The train section: its statements, how it is read, and the `Recipe` that training follows."""
