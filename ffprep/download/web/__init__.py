"""What a polite client of the Web has to know: URLs, names, opt-outs, proxies, and when a host may be asked."""
