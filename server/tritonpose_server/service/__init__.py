"""PaddleX's service contract: REST service, web page, and what the HPS model shares with them."""
