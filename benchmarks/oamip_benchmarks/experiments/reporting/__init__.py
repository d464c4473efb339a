"""The pages, pictures and tables of studies."""
