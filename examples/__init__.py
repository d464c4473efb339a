"""Scripts that show how the package is used. Installed as ``oamip_examples``, so that ``oamip demo`` finds its own."""
