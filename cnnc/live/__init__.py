"""Serves the page of a training to browsers on this machine; needs the extra `live`."""
