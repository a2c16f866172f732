"""Street Bump: the road felt by phones. Traces in, bumps found, many trips fused into road defects.

numpy and scipy are imported by the modules that compute, and those only where a trip is analysed:
the web and the idle workers never load them.
"""
