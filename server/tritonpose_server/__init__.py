"""All that runs beside or inside Triton.

Layers, each using only those before it: ``engines`` (inference engines), ``backends`` (Triton
backends around them), ``service`` (PaddleX's REST and HPS contracts, web page), ``supervision``
(keeps processes alive), ``embedded`` (launches Triton), ``models`` (fetch, convert, verify, store)
and ``cli`` (commands).
"""
