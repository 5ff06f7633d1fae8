"""Absorbs the channel shuffles of a network into the weights of its convolutions.

``tracing`` follows channels through shuffles, splits and concatenations, ``orders`` chooses where
they lie, ``emission`` writes the graph again, ``shuffles`` does all of it.
"""
