"""The stream core: lookups in, popular and non-popular lookups out. It knows nothing of the shell around it."""
