"""Outcomes as tables, Markdown, JSON and SVG."""
