"""The operator of ModelRoutes: `core/` decides, `edges/` acts."""
