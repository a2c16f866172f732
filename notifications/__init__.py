"""Who is told, in which words, over which channel; delivery with retries."""
