"""One agent for a whole host: verdicts over HTTP, for proxies and for prefork servers."""
