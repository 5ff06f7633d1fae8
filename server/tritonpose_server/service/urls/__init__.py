"""Fetch images at URLs that clients send, from public hosts alone.

Otherwise clients could make this machine send requests to hosts that only it can reach
(server-side request forgery; OWASP has a cheat sheet of that name).
"""
