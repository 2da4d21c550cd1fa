"""What AWS offers and asks for it: CSV files that ship with Ferry, one noun a module, each row with source and date.

A fact that is missing is a CatalogError that names what exists, never 0. The files are read on first use.
Trainium, Inferentia, V100, bare-metal and fractional types are left out: the engines' CUDA images do not run there, or
the fleet has no use for them. So are prices of P4 and P5 from before the cut of June 2025.
"""
