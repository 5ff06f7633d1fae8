"""Fetch images at URLs that clients send, from public hosts alone.

Otherwise clients could make this machine send requests to hosts that only it can reach
(server-side request forgery; OWASP has a cheat sheet of that name).
"""

from tritonpose_server.service.urls.fetching import ImageFetcher
from tritonpose_server.service.urls.settings import URLS_OFF, UrlSettings

__all__ = ["URLS_OFF", "ImageFetcher", "UrlSettings"]
