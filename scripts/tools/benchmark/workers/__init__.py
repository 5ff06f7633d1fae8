"""Contestants that run in a process of their own, called line by line.

``line_server`` serves an object of one of the other files; ``process`` is its other end.
"""
