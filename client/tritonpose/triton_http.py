"""The header that opens the HTTP port of the embedded Triton to clients, and closes it to browsers.

Any web page may let its visitor's browser send requests to addresses of the visitor's machine, and
with a trick of names (DNS rebinding) read the answers. But no browser lets a page set a header
whose name begins with ``Sec-``.
"""

CLIENT_HEADER = "sec-tritonpose"
CLIENT_VALUE = "client"
CLIENT_HEADERS = {CLIENT_HEADER: CLIENT_VALUE}
