"""Commands of the server, which join ``tritonpose`` by entry points."""
