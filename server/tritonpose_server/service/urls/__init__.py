"""Fetching images that a request names by a URL, from public hosts alone.

Whoever may send a request could otherwise have this machine ask hosts that only it can reach
(server-side request forgery; OWASP has a cheat sheet of that name).
"""

from tritonpose_server.service.urls.fetching import ImageFetcher
from tritonpose_server.service.urls.settings import URLS_OFF, UrlSettings

__all__ = ["URLS_OFF", "ImageFetcher", "UrlSettings"]
